"""What of the files of a conversation its model is given."""

import pytest

from understudy import Agent
from understudy.models.model import MessageItem, ModelLimits
from understudy.testing import Say, ScriptedModel, run_agent

FILES = {"a.png": b"\x89PNG\r\n\x1a\n" + bytes(32), "b.pdf": b"%PDF-1.4\n%%EOF\n", "c.csv": b"a,b\n1,2\n"}


@pytest.mark.parametrize(("images", "documents"), [(False, False), (True, False), (True, True)])
async def test_images_and_documents_go_to_models_that_take_them(images: bool, documents: bool) -> None:
    model = ScriptedModel(Say("Seen."))
    model.limits = ModelLimits(images=images, documents=documents)  # type: ignore[attr-defined]
    run = await run_agent(Agent("reader", model=model), "What is this?", files=FILES)
    assert run.text == "Seen."
    item = model.inputs[0].items[-1]
    assert isinstance(item, MessageItem)
    assert sorted(each.name for each in item.files) == sorted(FILES)
    assert [each.content for each in item.images] == ([FILES["a.png"]] if images else [])
    assert [(each.name, each.content) for each in item.documents] == ([("b.pdf", FILES["b.pdf"])] if documents else [])
