import { AssistantRuntimeProvider, AuiIf, ComposerPrimitive, ErrorPrimitive, MessagePrimitive, ThreadPrimitive } from "@assistant-ui/react";
import { useAgUiInterrupts, useAgUiRuntime, useAgUiSubmitInterruptResponses } from "@assistant-ui/react-ag-ui";
import Markdown from "markdown-to-jsx";
import { useState } from "react";
import { createRoot } from "react-dom/client";
import { open } from "./server.js";
import "./chat.css";

const STARTERS = ["Look up order A-17", "Deliver A-18 to another town", "Cancel order A-18"];

function Chat({ agent, history }) {
  const runtime = useAgUiRuntime({ agent, adapters: { history } });
  return (
    <AssistantRuntimeProvider runtime={runtime}>
      <ThreadPrimitive.Root className="chat">
        <header>
          <h1>Support</h1>
          <a href="#" onClick={startAnew}>New chat</a>
        </header>
        <ThreadPrimitive.Viewport className="messages">
          <AuiIf condition={({ thread }) => thread.isEmpty && !thread.isRunning && !thread.isLoading}>
            <div className="welcome">
              <p>How can I help you?</p>
              {STARTERS.map((text) => (
                <ThreadPrimitive.Suggestion key={text} prompt={text} send>{text}</ThreadPrimitive.Suggestion>
              ))}
            </div>
          </AuiIf>
          <ThreadPrimitive.Messages components={{ UserMessage, AssistantMessage }} />
          <Questions />
        </ThreadPrimitive.Viewport>
        <Composer stop={() => agent.stop()} />
      </ThreadPrimitive.Root>
    </AssistantRuntimeProvider>
  );
}

function startAnew(event) {
  event.preventDefault();
  location.hash = "";
  location.reload();
}

const UserMessage = () => (
  <MessagePrimitive.Root className="message user"><MessagePrimitive.Parts /></MessagePrimitive.Root>
);

const AssistantMessage = () => (
  <MessagePrimitive.Root className="message assistant">
    <MessagePrimitive.Parts components={{ Text, Reasoning, tools: { Fallback: ToolCall } }} />
    <MessagePrimitive.Error>
      <ErrorPrimitive.Root className="error"><ErrorPrimitive.Message /></ErrorPrimitive.Root>
    </MessagePrimitive.Error>
  </MessagePrimitive.Root>
);

// What agents write is never HTML of this page.
const Text = ({ text }) => <Markdown options={{ disableParsingRawHTML: true, forceBlock: true }}>{text}</Markdown>;

const Reasoning = ({ text }) => <p className="thought">{text}</p>;

function ToolCall({ toolName, argsText, result }) {
  const done = result !== undefined;
  return (
    <details className="call" data-state={done ? "done" : "working"}>
      <summary>{toolName.replaceAll("_", " ")}</summary>
      <pre>{argsText}</pre>
      {done && <pre>{typeof result === "string" ? result : JSON.stringify(result, null, 2)}</pre>}
    </details>
  );
}

/** What the run waits for: consents and forms. All are answered together, as AG-UI wants it. */
function Questions() {
  const questions = useAgUiInterrupts();
  const submit = useAgUiSubmitInterruptResponses();
  if (questions.length === 0) return null;

  function answer(event) {
    event.preventDefault();
    const choice = event.nativeEvent.submitter.value;
    const fields = new FormData(event.currentTarget);
    submit(questions.map(({ id, reason, responseSchema }) => {
      if (reason === "approval") return { interruptId: id, status: "resolved", payload: { decision: choice } };
      if (choice === "deny") return { interruptId: id, status: "cancelled" };
      return { interruptId: id, status: "resolved", payload: filled(id, responseSchema, fields) };
    }));
  }

  return (
    <form className="question" onSubmit={answer}>
      {questions.map(({ id, reason, message, responseSchema, metadata }) => (
        <fieldset key={id}>
          <legend>{message}</legend>
          {reason === "approval" && <pre>{JSON.stringify(metadata.understudy.parameters, null, 2)}</pre>}
          {reason !== "approval" && Object.entries(responseSchema.properties).map(([name, schema]) => (
            <Field key={name} id={`${id} ${name}`} name={name} schema={schema} required={responseSchema.required?.includes(name)} />
          ))}
        </fieldset>
      ))}
      <div className="buttons">
        <button value="allow">{questions.every(({ reason }) => reason === "approval") ? "Allow" : "Send"}</button>
        <button value="deny" formNoValidate className="plain">Decline</button>
      </div>
    </form>
  );
}

function Field({ id, name, schema, required }) {
  const label = <span>{schema.title ?? name.replaceAll("_", " ")}{schema.description && <small>{schema.description}</small>}</span>;
  if (schema.type === "boolean") {
    return <label className="tick"><input type="checkbox" name={id} defaultChecked={schema.default} />{label}</label>;
  }
  if (schema.enum) {
    return <label>{label}<select name={id}>{schema.enum.map((each) => <option key={each}>{each}</option>)}</select></label>;
  }
  const numeric = schema.type === "integer" || schema.type === "number";
  return <label>{label}<input name={id} type={numeric ? "number" : "text"} step={schema.type === "number" ? "any" : undefined} defaultValue={schema.default} required={required} /></label>;
}

/** Returns the answer that the fields of a question hold. */
function filled(id, schema, fields) {
  const values = {};
  for (const [name, { type }] of Object.entries(schema.properties)) {
    const value = fields.get(`${id} ${name}`);
    if (type === "boolean") values[name] = value !== null;
    else if (value) values[name] = type === "integer" || type === "number" ? Number(value) : value;
  }
  return values;
}

const Composer = ({ stop }) => (
  <ComposerPrimitive.Root className="composer">
    <ComposerPrimitive.Input placeholder="Write a message" aria-label="Message" rows={1} autoFocus />
    <AuiIf condition={({ thread }) => !thread.isRunning}>
      <ComposerPrimitive.Send>Send</ComposerPrimitive.Send>
    </AuiIf>
    <AuiIf condition={({ thread }) => thread.isRunning}>
      <ComposerPrimitive.Cancel onClick={stop}>Stop</ComposerPrimitive.Cancel>
    </AuiIf>
  </ComposerPrimitive.Root>
);

const root = createRoot(document.body.appendChild(document.createElement("main")));
open().then(
  (opened) => root.render(<Chat {...opened} />),
  (error) => root.render(<p className="error">{error.message}</p>),
);
