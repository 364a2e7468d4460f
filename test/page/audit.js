/**
 * Runs in the browser, over whatever page is shown: what everybody needs to read and use it (WCAG 2.2 AA, where a program
 * can tell). Its value is a list of sentences, one for each fault.
 */
(() => {
  const faults = [];
  const say = (element, what) => faults.push(`${what}: ${element.outerHTML.slice(0, 160)}`);
  const isShown = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const all = (selector) => [...document.querySelectorAll(selector)];

  if (!document.documentElement.lang) faults.push("the document has no language");
  if (all("main").length !== 1 || all("h1").length !== 1) faults.push("there is not one main with one h1");
  if (document.title.trim() === "") faults.push("the document has no title");

  const ids = all("[id]").map(({ id }) => id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) faults.push(`the id ${id} is there twice`);
  for (const attribute of ["for", "form", "aria-labelledby"]) {
    for (const element of all(`[${attribute}]`))
      if (!document.getElementById(element.getAttribute(attribute))) say(element, `${attribute} leads nowhere`);
  }

  let level = 0;
  for (const each of all("h1, h2, h3, h4, h5, h6")) {
    const next = Number(each.tagName[1]);
    if (next > level + 1) say(each, "a level of headings is left out");
    level = next;
  }

  const nameOf = (element) =>
    element.getAttribute("aria-label") ||
    [...(element.labels ?? [])].map((label) => label.textContent).join(" ") ||
    element.textContent ||
    element.querySelector("img")?.alt ||
    "";
  for (const each of all("a[href], button, input, select, summary"))
    if (nameOf(each).trim() === "") say(each, "it has no name");
  for (const each of all("img:not([alt])")) say(each, "an image has no alternative");
  for (const each of all("table")) if (!each.querySelector("caption")) say(each, "a table has no caption");

  // Contrast, 1.4.3: 4.5, and 3 for large text.
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const pixel = (colour, ground) => {
    canvas.fillStyle = `rgb(${ground.join(" ")})`;
    canvas.fillRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const groundOf = (element) => {
    const parents = [];
    for (let each = element; each; each = each.parentElement) parents.unshift(each);
    const scheme = matchMedia("(prefers-color-scheme: dark)").matches ? [0, 0, 0] : [255, 255, 255];
    return parents.reduce((ground, each) => pixel(getComputedStyle(each).backgroundColor, ground), scheme);
  };
  const luminance = (rgb) => {
    const [red, green, blue] = rgb.map((value) => {
      const part = value / 255;
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const looked = new Set();
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (texts.currentNode.data.trim() === "" || looked.has(element) || !isShown(element)) continue;
    looked.add(element);
    const style = getComputedStyle(element);
    const ground = groundOf(element);
    const [light, dark] = [luminance(pixel(style.color, ground)), luminance(ground)].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    const size = Number.parseFloat(style.fontSize);
    const needed = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    if (ratio < needed) say(element, `a contrast of ${ratio.toFixed(2)}`);
  }
  if (looked.size < 10) faults.push(`only ${looked.size} texts were looked at`);

  // Targets, 2.5.8: 24 px, but for links within text.
  for (const each of all("button, input, select, summary, header nav a")) {
    if (!isShown(each)) continue;
    const { height, width } = each.getBoundingClientRect();
    const target = each.closest("label")?.getBoundingClientRect() ?? { height, width };
    if (Math.max(height, target.height) < 24 || Math.max(width, target.width) < 24)
      say(each, `a target of ${width} × ${height}`);
  }

  const over = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (over > 0) faults.push(`it scrolls sideways by ${over} px`);
  return faults;
})();
