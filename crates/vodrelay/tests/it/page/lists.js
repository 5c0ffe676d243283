// Run in the page: lists of every kind are drawn over others of every kind. Answers what was wrong, or how many elements
// with a key stayed the same.
let seed = 7;
const dice = (sides) => (seed = (seed * 48271) % 2147483647) % sides;
const some = (depth) => {
  const keys = ["a", "b", "c", "d", "e"].sort(() => dice(3) - 1);
  return Array.from({ length: dice(6) }, () => {
    if (dice(4) === 0) return `text ${dice(3)}`;
    const node = document.createElement(["p", "span"][dice(2)]);
    if (dice(2)) node.dataset.key = keys.pop();
    if (dice(2)) node.className = `class-${dice(3)}`;
    if (depth < 2) node.append(...some(depth + 1));
    return node;
  });
};
const boxOf = (children) => {
  const box = document.createElement("div");
  box.append(...children);
  return box;
};
return import("/page.js").then(({ draw }) => {
  let kept = 0;
  for (let round = 0; round < 3000; round += 1) {
    const place = boxOf(some(0));
    const [was, children] = [place.innerHTML, some(0)];
    const wanted = boxOf(children).innerHTML;
    const before = new Map([...place.children].map((node) => [node.dataset.key, node]));
    draw(place, children);
    if (place.innerHTML !== wanted) return `${was} became ${place.innerHTML}, not ${wanted}`;
    for (const node of place.querySelectorAll(":scope > [data-key]")) {
      const old = before.get(node.dataset.key);
      if (old?.nodeName !== node.nodeName) continue;
      if (old !== node) return `${node.dataset.key} of ${was} is another in ${wanted}`;
      kept += 1;
    }
  }
  return kept;
});
