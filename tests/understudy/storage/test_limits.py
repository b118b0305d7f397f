import attrs
import pytest

from understudy.storage.limits import Limits


@pytest.mark.parametrize("name", [field.name for field in attrs.fields(Limits)])
@pytest.mark.parametrize("value", [0, -1])
def test_no_limit_can_be_nothing(name, value) -> None:
    with pytest.raises(ValueError, match=name):
        Limits(**{name: value})
