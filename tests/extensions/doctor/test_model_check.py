"""A model of a setting that cannot be used is a sentence, before anybody asks it."""

import pytest

from understudy.extensions.doctor.model_check import inquire
from understudy.installed import chosen
from understudy.models.providers import BUILT_IN


@pytest.mark.parametrize(("name", "off"), [("openai-chat:tiny", "openai"), ("anthropic:tiny", "anthropic")])
def test_a_model_whose_extension_is_off_is_to_be_mended(name: str, off: str) -> None:
    finding = inquire(name, BUILT_IN, chosen([f"-{off}"]))
    assert finding.state == "mend"
    assert finding.text.startswith(f"the model {name} needs the extension {off}, which is off")
