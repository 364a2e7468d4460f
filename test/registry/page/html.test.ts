import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { escapeHtml, html } from "../../../registry/page/html.ts";

test("a value is text, whatever it looks like", () => {
  const hostile = `<script>alert("1")</script>' onload='x' & \`y\``;
  assert.equal(
    html`<p title="${hostile}">${hostile}</p>`.text,
    '<p title="&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&#39; onload=&#39;x&#39; &amp; &#96;y&#96;">' +
      "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&#39; onload=&#39;x&#39; &amp; &#96;y&#96;</p>",
  );
});

test("HTML within HTML stays, lists follow each other, what is absent is nothing", () => {
  const inner = html`<b>${"<"}</b>`;
  assert.equal(html`${inner}${[inner, "&", 0]}${undefined}${false}${""}`.text, "<b>&lt;</b><b>&lt;</b>&amp;0");
});

test("text cannot pretend to be HTML that was made here", () => {
  const forged = { text: "<script></script>" } as unknown as string;
  assert.equal(html`${forged}`.text, "");
});

test("nothing that any text holds ends its place between tags or within quotes", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const escaped = escapeHtml(text);
      assert.doesNotMatch(escaped, /[<>"'`]/);
      assert.doesNotMatch(escaped, /&(?!(?:amp|lt|gt|quot|#39|#96);)/);
    }),
  );
});

test("what no document may hold, and what turns text around, is shown as a mark", () => {
  assert.equal(escapeHtml("a\0b\x1bc\u202ed\u2066e\ud800f"), "a\ufffdb\ufffdc\ufffdd\ufffde\ufffdf");
  assert.equal(escapeHtml("päck 🛶 – שלום\n\t"), "päck 🛶 – שלום\n\t");
});
