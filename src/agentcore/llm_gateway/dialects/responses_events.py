"""The chunks of a chat completion as the events of a response.

An item is told from its beginning to its end before the next one begins; only calls of tools stay
open to the last, since servers may still add to any of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import orjson

from agentcore.kit.jsonvalue import JsonObject, JsonValue, list_of, object_of, objects_of
from agentcore.llm_gateway.chat_wire import first_choice, text_in, thought_in
from agentcore.llm_gateway.dialects.responses_answer import (
    Draft,
    annotation,
    call_item,
    cut_short,
    logprob,
    message_item,
    reasoning_item,
    text_part,
)
from agentcore.llm_gateway.models import ChatCall, TokenUsage


class Spoken(NamedTuple):
    """One kind of growing text: the item it is in, its events, and its member there."""

    item: str
    delta: str
    done: str
    member: str


SPOKEN: Mapping[str, Spoken] = {
    "reasoning_text": Spoken(
        "reasoning", "response.reasoning_text.delta", "response.reasoning_text.done", "text"
    ),
    "output_text": Spoken(
        "message", "response.output_text.delta", "response.output_text.done", "text"
    ),
    "refusal": Spoken("message", "response.refusal.delta", "response.refusal.done", "refusal"),
}


class ResponseEvents:
    __slots__ = (
        "_begun",
        "_call",
        "_called",
        "_calls",
        "_draft",
        "_finish",
        "_item",
        "_out",
        "_output",
        "_sequence",
    )

    def __init__(self, call: ChatCall) -> None:
        self._call = call
        self._draft = Draft(call, {})
        self._begun = False
        self._item: _Item | None = None
        # The last one under each number, and all.
        self._calls: dict[str, _Call] = {}
        self._called: list[_Call] = []
        self._output: list[JsonObject] = []
        self._finish: JsonValue = None
        self._sequence = 0
        self._out: list[bytes] = []

    def feed(self, chunk: Mapping[str, JsonValue]) -> bytes:
        if not self._begun:
            self._begin(chunk)
        choice = first_choice(chunk)
        if choice.get("index", 0) == 0:
            self._delta(object_of(choice.get("delta")), choice)
        self._finish = choice.get("finish_reason") or self._finish
        return self._taken()

    def end(self, usage: TokenUsage | None) -> bytes:
        cut = cut_short(self._finish)
        status = "completed" if cut is None else "incomplete"
        if not self._output:
            self._speak("output_text", "", [])
        speaking = self._item is not None
        self._close(status)
        for call in self._called:
            self._end_call(call, "completed" if speaking else status)
        output: list[JsonValue] = [*self._output]
        response = self._draft.response("completed", output=output, usage=usage, cut=cut)
        self._tell(f"response.{status}", {"response": response})
        return self._taken()

    def _begin(self, chunk: Mapping[str, JsonValue]) -> None:
        self._begun = True
        self._draft = Draft(self._call, chunk)
        response = self._draft.response("in_progress", output=[])
        self._tell("response.created", {"response": response})
        self._tell("response.in_progress", {"response": response})

    def _delta(self, delta: JsonObject, choice: JsonObject) -> None:
        text = text_in(delta.get("content"))
        tokens = objects_of(object_of(choice.get("logprobs")).get("content"))
        if text and len(delta) == 1 and not tokens:
            # Nearly every chunk is that and nothing else.
            self._speak("output_text", text, [])
            return
        thought = thought_in(delta)
        if thought:
            self._speak("reasoning_text", thought, [])
        for block in objects_of(delta.get("thinking_blocks")):
            whole = {name: value for name, value in block.items() if name != "index"}
            self._open("reasoning").blocks.append(whole)
        if text or tokens:
            self._speak("output_text", text, [logprob(token) for token in tokens])
        for note in list_of(delta.get("annotations")):
            self._annotate(annotation(note))
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._speak("refusal", refusal, [])
        for call in objects_of(delta.get("tool_calls")):
            self._call_part(call)

    def _speak(self, kind: str, text: str, logprobs: list[JsonValue]) -> None:
        part = self._part(kind)
        part.pieces.append(text)
        place = part.place
        if kind == "output_text":
            part.logprobs += logprobs
            place = {**place, "logprobs": logprobs}
        self._tell(SPOKEN[kind].delta, {**place, "delta": text})

    def _annotate(self, note: JsonValue) -> None:
        part = self._part("output_text")
        told: JsonObject = {"annotation_index": len(part.annotations), "annotation": note}
        part.annotations.append(note)
        self._tell("response.output_text.annotation.added", {**part.place, **told})

    def _part(self, kind: str) -> _Part:
        """The part that is being told, or a new one behind it."""
        item = self._open(SPOKEN[kind].item)
        if item.part is None or item.part.kind != kind:
            self._close_part(item)
            place: JsonObject = {**item.place, "content_index": len(item.parts)}
            item.part = _Part(kind, place)
            self._tell("response.content_part.added", {**place, "part": item.part.document()})
        return item.part

    def _open(self, kind: str) -> _Item:
        if self._item is None or self._item.kind != kind:
            self._close("completed")
            index = len(self._output)
            item = self._item = _Item(kind, self._id("rs" if kind == "reasoning" else "msg"), index)
            self._output.append(item.document("in_progress"))
            self._tell(
                "response.output_item.added",
                {"output_index": index, "item": item.document("in_progress")},
            )
        return self._item

    def _close_part(self, item: _Item) -> None:
        part, item.part = item.part, None
        if part is None:
            return
        document = part.document()
        item.parts.append(document)
        spoken = SPOKEN[part.kind]
        told = {**part.place, spoken.member: document[spoken.member]}
        if part.kind == "output_text":
            told["logprobs"] = document["logprobs"]
        self._tell(spoken.done, told)
        self._tell("response.content_part.done", {**part.place, "part": document})

    def _close(self, status: str) -> None:
        """The item that is being told ends."""
        item, self._item = self._item, None
        if item is None:
            return
        self._close_part(item)
        self._end_item(item.index, item.document(status))

    def _end_item(self, index: int, document: JsonObject) -> None:
        self._output[index] = document
        self._tell("response.output_item.done", {"output_index": index, "item": document})

    def _call_part(self, delta: JsonObject) -> None:
        key, name = str(delta.get("index", 0)), delta.get("id")
        function = object_of(delta.get("function"))
        call = self._calls.get(key)
        # Some servers give all calls the same number.
        if call is None or (name and call.document["call_id"] != name):
            self._close("completed")
            call = self._calls[key] = _Call(self._id("fc"), delta, len(self._output))
            self._called.append(call)
            self._output.append(call.document)
            added: JsonObject = {"output_index": call.index, "item": call.document}
            self._tell("response.output_item.added", added)
        call.document["name"] = call.document["name"] or function.get("name") or ""
        arguments = function.get("arguments")
        if isinstance(arguments, str) and arguments:
            call.pieces.append(arguments)
            self._tell("response.function_call_arguments.delta", {**call.place, "delta": arguments})

    def _end_call(self, call: _Call, status: str) -> None:
        arguments = "".join(call.pieces)
        document: JsonObject = {**call.document, "status": status, "arguments": arguments}
        told: JsonObject = {**call.place, "name": document["name"], "arguments": arguments}
        self._tell("response.function_call_arguments.done", told)
        self._end_item(call.index, document)

    def _id(self, prefix: str) -> str:
        return self._draft.item_id(prefix, len(self._output))

    def _tell(self, kind: str, members: JsonObject) -> None:
        event = {"type": kind, "sequence_number": self._sequence, **members}
        self._sequence += 1
        self._out.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps(event)))

    def _taken(self) -> bytes:
        out, self._out = b"".join(self._out), []
        return out


class _Part:
    """A text of an item that is still growing."""

    __slots__ = ("annotations", "kind", "logprobs", "pieces", "place")

    def __init__(self, kind: str, place: JsonObject) -> None:
        self.kind = kind
        self.place = place
        self.pieces: list[str] = []
        self.logprobs: list[JsonValue] = []
        self.annotations: list[JsonValue] = []

    def document(self) -> JsonObject:
        text = "".join(self.pieces)
        if self.kind == "output_text":
            return text_part(text, self.annotations, self.logprobs)
        return {"type": self.kind, SPOKEN[self.kind].member: text}


class _Item:
    """A message or a thought, with its parts that are complete and the one that is not."""

    __slots__ = ("blocks", "index", "kind", "name", "part", "parts")

    def __init__(self, kind: str, name: str, index: int) -> None:
        self.kind = kind
        self.name = name
        self.index = index
        self.part: _Part | None = None
        self.parts: list[JsonValue] = []
        self.blocks: list[JsonValue] = []

    @property
    def place(self) -> JsonObject:
        return {"item_id": self.name, "output_index": self.index}

    def document(self, status: str) -> JsonObject:
        if self.kind == "message":
            return message_item(self.name, [*self.parts], status)
        item = reasoning_item(self.name, "", self.blocks)
        return {**item, "status": status, "content": [*self.parts]}


class _Call:
    __slots__ = ("document", "index", "pieces", "place")

    def __init__(self, name: str, delta: JsonObject, index: int) -> None:
        function = {**object_of(delta.get("function")), "arguments": ""}
        self.document = call_item(name, {**delta, "function": function}, "in_progress")
        self.index = index
        self.place: JsonObject = {"item_id": name, "output_index": index}
        self.pieces: list[str] = []
