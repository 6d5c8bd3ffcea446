// One state, kept in the address; everything shown follows from it and from the frames of an experiment.
const gallery = (() => {
  "use strict";
  const about = JSON.parse(document.getElementById("about").textContent);
  const find = id => document.getElementById(id);
  const VIEWS = ["one", "attributes", "images", "together"];
  const OVERLAYS = ["none", "mean", "difference"];
  const FORMAT = 1, KIND = "stylex attribute names", LONGEST = 60;
  const experiments = new Map(about.map(each => [each.name, each]));
  const loading = new Map(), contents = new Map();
  const arriving = {};
  let state = {}, playing = 0;

  // --- what is loaded -------------------------------------------------------------------------------------------

  function load(name) {
    if (!loading.has(name)) loading.set(name, new Promise((done, failed) => {
      const script = document.createElement("script");
      script.src = `${encodeURIComponent(name)}.js`;
      script.onload = () => prepare(arriving[name]).then(done, failed);
      script.onerror = () => failed(new Error(`${name}.js is not beside this page. Copy the whole folder, or run snakemake again.`));
      document.head.append(script);
    }));
    return loading.get(name);
  }

  async function picture(uri) {
    if (!uri) return null;
    const image = new Image();
    image.src = uri;
    await image.decode();
    return image;
  }

  async function prepare(content) {
    content.columns = 2 * content.steps + 1;
    await Promise.all(content.images.map(async each => {
      [each.sheet, each.original] = await Promise.all([picture(each.sheet), picture(each.original)]);
    }));
    await Promise.all(content.attributes.map(async each => { each.map = await picture(each.map); }));
    contents.set(content.name, content);
    return content;
  }

  // --- names and favourites, of one training each ------------------------------------------------------------------

  const key = name => `stylex names ${experiments.get(name).model}`;

  function notesOf(name) {
    let own = {};
    try { own = JSON.parse(localStorage.getItem(key(name)) ?? "{}"); } catch { /* a browser that keeps nothing */ }
    return { ...experiments.get(name).names, ...own };
  }

  function note(name, index, change) {
    const notes = notesOf(name);
    notes[index] = { name: "", favourite: false, ...notes[index], ...change };
    try { localStorage.setItem(key(name), JSON.stringify(notes)); } catch {
      say("This browser keeps nothing for this page: export the names before you close it.");
      experiments.get(name).names = notes;
    }
  }

  const called = (content, attribute) =>
    notesOf(content.name)[attribute.style_index]?.name || `Attribute ${attribute.number}`;

  function exported() {
    const attributes = [];
    for (const { name, model } of about) {
      for (const [index, { name: text, favourite }] of Object.entries(notesOf(name))) {
        if (text || favourite) attributes.push({ experiment: name, model, style_index: Number(index), name: text, favourite });
      }
    }
    return { format: FORMAT, kind: KIND, attributes };
  }

  function accepted(entry) {
    return entry && typeof entry.experiment === "string" && Number.isInteger(entry.style_index) && entry.style_index >= 0
      && typeof entry.name === "string" && entry.name.length <= LONGEST && typeof entry.favourite === "boolean";
  }

  function imported(text) {
    let file;
    try { file = JSON.parse(text); } catch { return "This is no JSON file: choose one that this page exported."; }
    if (file?.kind !== KIND || !Array.isArray(file.attributes)) return "These are no names of attributes: choose a file that this page exported.";
    if (file.format > FORMAT) return "The file is of a newer version of stylex.";
    if (!file.attributes.every(accepted)) return "The file is damaged: nothing was imported.";
    const fitting = file.attributes.filter(each => experiments.get(each.experiment)?.model === each.model);
    fitting.forEach(each => note(each.experiment, each.style_index, { name: each.name, favourite: each.favourite }));
    const others = file.attributes.length - fitting.length;
    return `${count(fitting.length, "name")} imported` + (others ? `; ${others} left out, of other experiments or another training.` : ".");
  }

  const count = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;

  // --- the state ---------------------------------------------------------------------------------------------------

  function fromAddress() {
    const given = new URLSearchParams(location.hash.slice(1)), number = name => Number.parseInt(given.get(name) ?? "1", 10);
    return {
      experiment: experiments.has(given.get("experiment")) ? given.get("experiment") : about[0].name,
      view: VIEWS.includes(given.get("view")) ? given.get("view") : "one",
      image: number("image"), attribute: number("attribute"),
      at: Number.parseFloat(given.get("at") ?? "0"),
      overlay: OVERLAYS.includes(given.get("overlay")) ? given.get("overlay") : "none",
      together: given.get("together") ?? "",
      shown: given.get("class") ?? "",
      favourites: given.get("favourites") === "1",
    };
  }

  // Return a state that fits what the experiment has.
  function fitting(wanted, content) {
    const within = (value, most) => Math.min(Math.max(Number.isFinite(value) ? value : 1, 1), Math.max(most, 1));
    const step = Number.isFinite(wanted.at) ? Math.round(wanted.at * content.steps) : 0;
    const states = [...wanted.together.slice(0, content.together)].map(each => ("-+".includes(each) ? each : "0"));
    return {
      ...wanted,
      image: within(wanted.image, content.images.length), attribute: within(wanted.attribute, content.attributes.length),
      at: Math.min(Math.max(step, -content.steps), content.steps) / content.steps,
      together: states.join("").padEnd(content.together, "0"),
      view: wanted.view === "together" && !content.together ? "one" : wanted.view,
      shown: content.shown.some(label => content.classes[label] === wanted.shown) ? wanted.shown : "",
    };
  }

  function address() {
    const kept = new URLSearchParams({ experiment: state.experiment, view: state.view, image: state.image });
    if (state.view !== "together") kept.set("attribute", state.attribute);
    if (state.view === "together") kept.set("together", state.together);
    else kept.set("at", state.at);
    if (state.overlay !== "none") kept.set("overlay", state.overlay);
    if (state.shown) kept.set("class", state.shown);
    if (state.favourites) kept.set("favourites", "1");
    return `#${kept}`;
  }

  async function set(change) {
    const before = state.experiment;
    state = { ...state, ...change };
    if (state.experiment !== before) find("busy").hidden = false;
    try {
      const wanted = state.experiment, content = await load(wanted);
      if (state.experiment !== wanted) return;
      state = fitting(state, content);
      if (built !== content) build(content);
      show(content);
      history.replaceState(null, "", address());
      find("stage").hidden = false;
    } catch (error) {
      find("stage").hidden = true;
      say(error.message);
    }
    find("busy").hidden = true;
  }

  // --- frames ------------------------------------------------------------------------------------------------------

  const alone = (content, attribute, at) => (attribute - 1) * content.columns + content.steps + Math.round(at * content.steps);

  function combined(content, states) {
    const digits = [...states].map(each => "-0+".indexOf(each));
    return content.attributes.length * content.columns + digits.reduce((sum, digit) => 3 * sum + digit, 0);
  }

  function draw(canvas, content, image, frame, overlay = "none", attribute = null) {
    const side = content.side, pen = canvas.getContext("2d");
    const cut = number => [(number % content.columns) * side, Math.floor(number / content.columns) * side, side, side, 0, 0, side, side];
    canvas.width = canvas.height = side;
    canvas.classList.toggle("small", side < 128);
    pen.drawImage(image.sheet, ...cut(frame));
    if (overlay === "difference") {
      pen.globalCompositeOperation = "difference";
      pen.drawImage(image.sheet, ...cut(content.steps));
    }
    if (overlay === "mean" && attribute?.map) pen.drawImage(attribute.map, 0, 0, side, side);
  }

  const chance = (content, image, frame, label) => image.probabilities[frame][content.shown.indexOf(label)] / 10000;
  const target = (content, attribute) => content.classes.indexOf(attribute.target_class);
  const written = value => value.toFixed(2);

  function shownClass(content, attribute) {
    return state.shown ? content.classes.indexOf(state.shown) : target(content, attribute);
  }

  // --- what stays while an experiment is looked at -------------------------------------------------------------------

  let built = null;

  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  function build(content) {
    built = content;
    find("summary").textContent = experiments.get(content.name).summary;
    find("csv").href = `${encodeURIComponent(content.name)}.csv`;
    find("shift").textContent = content.shift;
    find("none").hidden = content.attributes.length > 0;
    find("works").hidden = content.attributes.length === 0;
    find("images").replaceChildren(...content.images.map((image, place) => {
      const canvas = element("canvas", { ariaHidden: "true" });
      draw(canvas, content, image, content.steps);
      const radio = element("input", { type: "radio", name: "image", value: place + 1 });
      radio.addEventListener("change", () => set({ image: place + 1 }));
      return element("label", { title: image.id }, radio, canvas,
        element("span", { className: "unseen" }, `Image ${place + 1}, of class ${content.classes[image.label]}`));
    }));
    find("attributes").replaceChildren(...content.attributes.map(attribute => attributeRow(content, attribute)));
    find("combine").replaceChildren(...content.attributes.slice(0, content.together).map((attribute, place) => switches(content, attribute, place)));
    const classes = content.shown.map(label => element("option", { value: content.classes[label] }, content.classes[label]));
    find("class").replaceChildren(element("option", { value: "" }, "the attribute's class"), ...classes);
    find("slider").min = -content.steps;
    find("slider").max = content.steps;
  }

  function attributeRow(content, attribute) {
    const radio = element("input", { type: "radio", name: "attribute", value: attribute.number });
    radio.addEventListener("change", () => set({ attribute: attribute.number }));
    const star = element("button", { type: "button", className: "star" });
    star.addEventListener("click", () => {
      note(content.name, attribute.style_index, { favourite: !notesOf(content.name)[attribute.style_index]?.favourite });
      set({});
    });
    const name = element("input", { type: "text", maxLength: LONGEST, placeholder: "name it", className: "name", ariaLabel: `Name of attribute ${attribute.number}` });
    name.addEventListener("input", () => { note(content.name, attribute.style_index, { name: name.value.trim() }); set({}); });
    const { n, flipped, agreed } = attribute;
    const share = part => `${part} of ${n}`;
    let does = n ? `alone turns ${share(flipped)} images` : "no image to turn";
    if (n && agreed !== null) does += `, for an independent classifier ${share(agreed)}`;
    const where = `towards ${attribute.target_class} · layer ${attribute.layer}, channel ${attribute.channel} · ${does}`;
    return element("li", {}, element("label", {}, radio, element("span", { className: "number" }, `Attribute ${attribute.number}`)), name, star,
      element("span", { className: "soft" }, where));
  }

  function switches(content, attribute, place) {
    const choices = [["-", "lowered"], ["0", "unmoved"], ["+", "raised"]].map(([value, text]) => {
      const radio = element("input", { type: "radio", name: `together-${place}`, value });
      radio.addEventListener("change", () => set({ together: state.together.slice(0, place) + value + state.together.slice(place + 1) }));
      return element("label", {}, radio, text);
    });
    return element("fieldset", {}, element("legend"), ...choices);
  }

  // --- what follows the state ----------------------------------------------------------------------------------------

  function show(content) {
    find("experiment").value = content.name;
    for (const each of document.querySelectorAll('input[name="view"]')) {
      each.checked = each.value === state.view;
      each.disabled = each.value === "together" && !content.together;
    }
    if (!content.attributes.length) return;
    const image = content.images[state.image - 1], attribute = content.attributes[state.attribute - 1];
    find("images").querySelectorAll("input")[state.image - 1].checked = true;
    const notes = notesOf(content.name);
    [...find("attributes").children].forEach((row, place) => {
      const { style_index, number } = content.attributes[place], { name = "", favourite = false } = notes[style_index] ?? {};
      row.querySelector('input[type="radio"]').checked = number === state.attribute;
      const field = row.querySelector(".name");
      if (field !== document.activeElement) field.value = name;
      const star = row.querySelector(".star");
      star.textContent = favourite ? "★" : "☆";
      star.ariaPressed = String(favourite);
      star.ariaLabel = `Favourite: ${called(content, content.attributes[place])}`;
    });
    find("class").value = state.shown;
    find("overlay").value = state.overlay;
    find("favourites").checked = state.favourites;
    document.body.dataset.view = state.view;
    showImage(content, image);
    if (state.view === "together") showTogether(content, image);
    else showMoved(content, image, attribute);
    if (state.view === "attributes") tiles(content, content.attributes.filter(each => !state.favourites || notes[each.style_index]?.favourite).map(each => [image, each, called(content, each), () => set({ attribute: each.number, view: "one" })]));
    if (state.view === "images") tiles(content, content.images.map((each, place) => [each, attribute, `Image ${place + 1}`, () => set({ image: place + 1, view: "one" })]));
  }

  function showImage(content, image) {
    const decided = content.classes[image.decisions[content.steps]];
    find("original").hidden = !image.original;
    if (image.original) {
      const canvas = find("original").querySelector("canvas");
      canvas.width = canvas.height = content.side;
      canvas.classList.toggle("small", content.side < 128);
      canvas.getContext("2d").drawImage(image.original, 0, 0, content.side, content.side);
      find("original").querySelector("figcaption").textContent = `image, decided ${content.classes[image.originalDecision]}`;
    }
    draw(find("rebuilt").querySelector("canvas"), content, image, content.steps);
    find("rebuilt").querySelector("figcaption").textContent = `rebuilt, decided ${decided}`;
    const same = image.decisions[content.steps] === image.originalDecision;
    find("warning").hidden = same;
    find("warning").textContent = same ? "" : "The reconstruction is decided otherwise than the image: what follows is about the reconstruction.";
  }

  function answer(content, image, frame, label) {
    const decided = content.classes[image.decisions[frame]];
    let text = `P(${content.classes[label]}) = ${written(chance(content, image, frame, label))}, before ${written(chance(content, image, content.steps, label))}. Decided ${decided}.`;
    if (image.oracle) text += ` An independent classifier: ${content.oracle[image.oracle[frame]]}.`;
    return text;
  }

  function showMoved(content, image, attribute) {
    const frame = alone(content, state.attribute, state.at), label = shownClass(content, attribute), name = called(content, attribute);
    draw(find("moved"), content, image, frame, state.overlay, attribute);
    const text = answer(content, image, frame, label);
    find("moved").ariaLabel = `${name} at ${written(state.at)}. ${text}`;
    find("answer").textContent = text;
    find("what").textContent = name;
    const slider = find("slider");
    slider.value = Math.round(state.at * content.steps);
    slider.ariaLabel = `${name}, from its lowest to its highest`;
    slider.ariaValueText = `${written(state.at)}: ${text}`;
    const towards = state.view === "attributes" ? "its class" : attribute.target_class;
    find("lower").textContent = `◀ away from ${towards}`;
    find("raise").textContent = `towards ${towards} ▶`;
    curve(content, image, attribute, label);
    bars(content, image, frame);
    find("scale").hidden = state.overlay !== "mean";
    find("scale").textContent = `Bright: where this attribute changes the images most, ${written(content.largestChange)} of 2 at the most.`;
  }

  function showTogether(content, image) {
    const frame = combined(content, state.together), label = state.shown ? content.classes.indexOf(state.shown) : target(content, content.attributes[0]);
    draw(find("moved"), content, image, frame, state.overlay === "difference" ? "difference" : "none");
    const text = answer(content, image, frame, label);
    find("moved").ariaLabel = text;
    find("answer").textContent = text;
    find("what").textContent = "Attributes together";
    [...find("combine").children].forEach((group, place) => {
      const attribute = content.attributes[place];
      group.querySelector("legend").textContent = `${called(content, attribute)}, towards ${attribute.target_class}`;
      for (const each of group.querySelectorAll("input")) each.checked = each.value === state.together[place];
    });
    find("scale").hidden = true;
    bars(content, image, frame);
  }

  function tiles(content, shown) {
    find("tiles").replaceChildren(...shown.map(([image, attribute, name, open]) => {
      const frame = alone(content, attribute.number, state.at), label = shownClass(content, attribute);
      const canvas = element("canvas", { ariaHidden: "true" });
      draw(canvas, content, image, frame, state.overlay, attribute);
      const button = element("button", { type: "button", className: "tile" }, canvas, element("strong", {}, name),
        element("span", {}, `P(${content.classes[label]}) = ${written(chance(content, image, frame, label))}`));
      if (image.oracle) button.append(element("span", { className: "soft" }, `independent: ${content.oracle[image.oracle[frame]]}`));
      button.classList.toggle("turned", image.decisions[frame] !== image.decisions[content.steps]);
      button.addEventListener("click", open);
      return button;
    }));
    find("empty").hidden = shown.length > 0;
  }

  function curve(content, image, attribute, label) {
    const left = 34, width = 276, top = 8, height = 84;
    const x = step => left + (width * (step + content.steps)) / (2 * content.steps), y = value => top + height * (1 - value);
    const make = (tag, values) => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [name, value] of Object.entries(values)) made.setAttribute(name, value);
      return made;
    };
    const parts = [], points = [], half = width / (4 * content.steps), now = Math.round(state.at * content.steps);
    for (let step = -content.steps; step <= content.steps; step += 1) {
      const frame = alone(content, attribute.number, step / content.steps);
      if (image.decisions[frame] === label) {
        const from = Math.max(x(step) - half, left), to = Math.min(x(step) + half, left + width);
        parts.push(make("rect", { class: "decided", x: from, y: top, width: to - from, height }));
      }
      points.push(`${x(step)},${y(chance(content, image, frame, label))}`);
    }
    for (const value of [0, 0.5, 1]) {
      parts.push(make("line", { class: "grid", x1: left, x2: left + width, y1: y(value), y2: y(value) }));
      const text = make("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" });
      text.textContent = value;
      parts.push(text);
    }
    parts.push(make("polyline", { class: "curve", points: points.join(" ") }));
    const frame = alone(content, attribute.number, state.at);
    parts.push(make("circle", { class: "now", cx: x(now), cy: y(chance(content, image, frame, label)), r: 6 }));
    find("curve").replaceChildren(...parts);
    find("curve-title").textContent = `P(${content.classes[label]}) along the slider; shaded where the decision is ${content.classes[label]}`;
  }

  function bars(content, image, frame) {
    find("bars").replaceChildren(...content.shown.map((label, place) => {
      const value = image.probabilities[frame][place] / 10000;
      const bar = element("span", { className: "bar" });
      bar.style.setProperty("--share", `${100 * value}%`);
      return element("li", {}, element("span", {}, content.classes[label]), bar, element("span", {}, written(value)));
    }));
  }

  function say(text) {
    find("status").textContent = text;
  }

  // --- what a person does ------------------------------------------------------------------------------------------------

  function play() {
    if (playing) return stop();
    let direction = 1;
    playing = setInterval(() => {
      const step = 1 / built.steps;
      if (Math.abs(state.at + direction * step) > 1) direction = -direction;
      set({ at: state.at + direction * step });
    }, 120);
    find("play").textContent = "Stop";
  }

  function stop() {
    clearInterval(playing);
    playing = 0;
    find("play").textContent = "Play";
  }

  function start() {
    find("experiment").addEventListener("change", event => set({ experiment: event.target.value, image: 1, attribute: 1, at: 0, together: "", shown: "" }));
    for (const each of document.querySelectorAll('input[name="view"]')) each.addEventListener("change", () => { stop(); set({ view: each.value }); });
    find("slider").addEventListener("input", event => { stop(); set({ at: event.target.value / built.steps }); });
    find("overlay").addEventListener("change", event => set({ overlay: event.target.value }));
    find("class").addEventListener("change", event => set({ shown: event.target.value }));
    find("favourites").addEventListener("change", event => set({ favourites: event.target.checked }));
    find("reset").addEventListener("click", () => { stop(); set({ at: 0, together: "" }); });
    find("play").addEventListener("click", play);
    find("copy").addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(location.href);
        say("The link is copied.");
      } catch { say(`The link is the address of this page: ${location.href}`); }
    });
    find("export").addEventListener("click", () => {
      const link = element("a", { download: "names.json", href: URL.createObjectURL(new Blob([JSON.stringify(exported(), null, 1)], { type: "application/json" })) });
      link.click();
      URL.revokeObjectURL(link.href);
      say(`${count(exported().attributes.length, "name")} exported.`);
    });
    find("import").addEventListener("change", async event => {
      const [file] = event.target.files;
      if (!file) return;
      const text = imported(await file.text());
      event.target.value = "";
      await set({});
      say(text);
    });
    addEventListener("hashchange", () => set(fromAddress()));
    set(fromAddress());
  }

  addEventListener("DOMContentLoaded", start);
  return { add: content => { arriving[content.name] = content; } };
})();
