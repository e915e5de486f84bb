// The place where one writes: CodeMirror with Python. Tab indents, and Escape makes it leave.
import { indentWithTab } from "@codemirror/commands";
import { python } from "@codemirror/lang-python";
import { indentUnit, syntaxHighlighting } from "@codemirror/language";
import { Prec } from "@codemirror/state";
import { EditorView, keymap } from "@codemirror/view";
import { classHighlighter } from "@lezer/highlight";
import { basicSetup } from "codemirror";

export class Code {
  // keys: what this page adds, as in {"Mod-Enter": run}.
  constructor(parent, text, label, changed, keys) {
    // Keys of the whole page, such as "/" for the search, are letters here.
    parent.addEventListener("keydown", (event) => event.stopPropagation());
    const bindings = Object.entries(keys).map(([key, act]) => ({ key, run: () => (act(), true) }));
    this.view = new EditorView({
      parent,
      doc: text,
      extensions: [
        Prec.highest(keymap.of(bindings)),
        basicSetup,
        keymap.of([indentWithTab]),
        python(),
        indentUnit.of("    "),
        // Colours are in editor.css, for light and dark pages.
        syntaxHighlighting(classHighlighter),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({
          "aria-label": label,
          "aria-describedby": "write-keys",
          tabindex: "0",
        }),
        EditorView.updateListener.of((update) => update.docChanged && changed()),
      ],
    });
  }

  get text() {
    return this.view.state.doc.toString();
  }

  // A change like any other, so that undoing it brings back what was there.
  set text(insert) {
    this.view.dispatch({ changes: { from: 0, to: this.view.state.doc.length, insert } });
  }

  goTo(number) {
    const { doc } = this.view.state;
    const { from, to } = doc.line(Math.min(number, doc.lines));
    const effects = EditorView.scrollIntoView(from, { y: "center" });
    this.view.dispatch({ selection: { anchor: from, head: to }, effects });
    this.view.focus();
    this.view.dom.scrollIntoView({ block: "nearest" });
  }
}
