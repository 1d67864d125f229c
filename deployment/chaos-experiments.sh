#!/bin/sh
# The wrapper of AWS Lambda's runtime: AWS_LAMBDA_EXEC_WRAPPER=/opt/chaos-experiments
# It names the function's own handler to the module, and the module's to the runtime. Without a stage it does nothing.
handler=chaos_experiments.lambda_handler.handler
if [ -n "$CHAOS_STAGE" ] && [ "$_HANDLER" != "$handler" ]; then
    export CHAOS_HANDLER="$_HANDLER" _HANDLER="$handler"
fi
exec "$@"
