import pytest
from chaos_experiments.experiments.catalogue import installed
from chaos_experiments.faults.answer import Answer
from pydantic import ValidationError
from shop_experiments.maintenance_window import MaintenanceWindow

EXPERIMENT = MaintenanceWindow()


def test_it_is_installed():
    assert isinstance(installed().find("maintenance_window"), MaintenanceWindow)


def test_it_starts_from_its_name_alone():
    (fault,) = EXPERIMENT.faults(EXPERIMENT.Parameters())
    assert isinstance(fault, Answer)
    assert (fault.status, fault.headers) == (503, {"Retry-After": "120"})


@pytest.mark.parametrize("seconds", [0, 86_401, 1.5, "60"])
def test_clients_are_asked_to_wait_a_day_at_most(seconds):
    with pytest.raises(ValidationError, match="opens_after_seconds"):
        EXPERIMENT.Parameters(opens_after_seconds=seconds)
