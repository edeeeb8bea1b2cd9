// The report's 3D view: a small WebGL 2 viewer without dependencies, so that the page works from a file, offline.
//
// Each <canvas class="face3d"> shows the mesh in the <script type="application/json"> that data-mesh names. All of them
// share one WebGL context (browsers allow about sixteen) and get their picture by drawImage. Meshes are unpacked when
// they come into view, and the graphics memory of those long unseen is freed.
"use strict";
(() => {
  const START = { yaw: -0.45, pitch: 0.08, zoom: 1 };
  const FIELD_OF_VIEW = 0.5;  // radians; narrow, since faces look swollen through wide lenses
  const KEPT_MESHES = 16;
  const MODES = ["Photo", "Clay", "Wire"];

  const VERTEX_SHADER = `#version 300 es
    uniform mat4 toClip; uniform mat3 turn;
    in vec3 position; in vec3 normal; in vec2 uv; in vec3 color;
    out vec3 facing; out vec2 texel; out vec3 tint;
    void main() {
      gl_Position = toClip * vec4(position, 1.0);
      facing = turn * normal; texel = vec2(uv.x, 1.0 - uv.y); tint = color;
    }`;
  const FRAGMENT_SHADER = `#version 300 es
    precision highp float;
    uniform sampler2D picture; uniform int mode; uniform bool textured; uniform vec3 line;
    in vec3 facing; in vec2 texel; in vec3 tint;
    out vec4 result;
    void main() {
      if (mode == 2) { result = vec4(line, 1.0); return; }
      vec3 n = normalize(gl_FrontFacing ? facing : -facing);
      float light = 0.32 + 0.5 * max(dot(n, normalize(vec3(-0.5, 0.6, 0.8))), 0.0)
                         + 0.25 * max(dot(n, normalize(vec3(0.8, 0.1, 0.5))), 0.0);
      vec3 clay = vec3(0.86, 0.84, 0.82) * light;
      vec3 shown = textured ? texture(picture, texel).rgb : tint * light;
      if (mode == 1) shown = clay;
      if (!gl_FrontFacing) shown = mix(shown, vec3(dot(shown, vec3(0.33))), 0.7) * 0.55;  // the inside
      result = vec4(shown, 1.0);
    }`;

  // --- unpacking -----------------------------------------------------------------------------------------------

  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  const ARRAYS = { float32: Float32Array, uint32: Uint32Array, uint16: Uint16Array, int16: Int16Array, uint8: Uint8Array };

  /** {type, data, scale?} -> typed array; with a scale, the real numbers behind the integers. */
  function unpack(packed) {
    const raw = new ARRAYS[packed.type](bytes(packed.data));
    return packed.scale === undefined ? raw : Float32Array.from(raw, (value) => value * packed.scale);
  }

  const topologies = new Map();
  function topology(id) {
    if (!topologies.has(id)) {
      const packed = JSON.parse(document.getElementById(id).textContent);
      const surface = { triangles: unpack(packed.triangles), source: unpack(packed.source), uv: packed.uv && unpack(packed.uv) };
      surface.corners = surface.triangles.map((index) => surface.source[index]);  // indices into the unsplit vertices
      topologies.set(id, surface);
    }
    return topologies.get(id);
  }

  function loadMesh(id) {
    const packed = JSON.parse(document.getElementById(id).textContent);
    const mesh = { surface: topology(packed.topology), radius: packed.radius, positions: unpack(packed.positions) };
    mesh.colors = packed.colors && unpack(packed.colors);
    if (packed.texture) {
      mesh.image = new Image();
      mesh.ready = new Promise((done) => { mesh.image.onload = mesh.image.onerror = done; });
      mesh.image.src = packed.texture;
    }
    if (packed.animation) {
      const { targets, weights, times, turns, visible } = packed.animation;
      mesh.animation = {
        targets: targets.map(unpack), weights: unpack(weights), times: unpack(times),
        turns: turns && unpack(turns), visible: unpack(visible),
      };
    }
    return mesh;
  }

  // --- geometry ------------------------------------------------------------------------------------------------

  function normalsOf(positions, corners) {
    const normals = new Float32Array(positions.length);
    for (let t = 0; t < corners.length; t += 3) {
      const [a, b, c] = [3 * corners[t], 3 * corners[t + 1], 3 * corners[t + 2]];
      const p = positions;
      const ux = p[b] - p[a], uy = p[b + 1] - p[a + 1], uz = p[b + 2] - p[a + 2];
      const vx = p[c] - p[a], vy = p[c + 1] - p[a + 1], vz = p[c + 2] - p[a + 2];
      const n = [uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx];
      for (const corner of [a, b, c]) for (let k = 0; k < 3; k++) normals[corner + k] += n[k];
    }
    return normals;  // the shader makes them unit length
  }

  function split(values, source) {
    const result = new Float32Array(source.length * 3);
    for (let i = 0; i < source.length; i++) result.set(values.subarray(3 * source[i], 3 * source[i] + 3), 3 * i);
    return result;
  }

  function edgesOf(triangles) {
    const seen = new Set(), edges = [];
    for (let t = 0; t < triangles.length; t += 3) {
      for (let k = 0; k < 3; k++) {
        const a = triangles[t + k], b = triangles[t + (k + 1) % 3];
        const key = a < b ? a * 4294967296 + b : b * 4294967296 + a;
        if (!seen.has(key)) { seen.add(key); edges.push(a, b); }
      }
    }
    return new Uint32Array(edges);
  }

  /** Frame before `time` and how far it is to the next. */
  function locate(times, time) {
    let low = 0, high = times.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (times[middle] <= time) low = middle; else high = middle - 1;
    }
    const next = Math.min(low + 1, times.length - 1);
    const span = times[next] - times[low];
    return [low, next, span > 0 ? Math.min(Math.max((time - times[low]) / span, 0), 1) : 0];
  }

  function shapeAt(mesh, time) {
    const { targets, weights, times } = mesh.animation;
    const [from, to, part] = locate(times, time);
    const positions = mesh.positions.slice();
    targets.forEach((target, k) => {
      const count = targets.length;
      const weight = weights[from * count + k] * (1 - part) + weights[to * count + k] * part;
      for (let i = 0; i < positions.length; i++) positions[i] += weight * target[i];
    });
    return positions;
  }

  /** Column-major 3x3 of the head's rotation at `time`. */
  function turnAt(animation, time) {
    if (!animation || !animation.turns) return [1, 0, 0, 0, 1, 0, 0, 0, 1];
    const [from, to, part] = locate(animation.times, time);
    const q = [0, 1, 2, 3].map((k) => animation.turns[4 * from + k] * (1 - part) + animation.turns[4 * to + k] * part);
    const length = Math.hypot(...q) || 1;
    const [x, y, z, w] = q.map((value) => value / length);
    return [
      1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w),
      2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w),
      2 * (x * z + y * w), 2 * (y * z - x * w), 1 - 2 * (x * x + y * y),
    ];
  }

  function multiply3(a, b) {  // column-major
    return [0, 1, 2].flatMap((c) => [0, 1, 2].map((r) => a[r] * b[3 * c] + a[3 + r] * b[3 * c + 1] + a[6 + r] * b[3 * c + 2]));
  }

  function orbit(view) {
    const [cy, sy, cp, sp] = [Math.cos(view.yaw), Math.sin(view.yaw), Math.cos(view.pitch), Math.sin(view.pitch)];
    return multiply3([1, 0, 0, 0, cp, sp, 0, -sp, cp], [cy, 0, -sy, 0, 1, 0, sy, 0, cy]);
  }

  function clipMatrix(turn, radius, zoom, aspect) {
    const f = 1 / Math.tan(FIELD_OF_VIEW / 2);
    const distance = (radius * 1.1) / Math.sin(FIELD_OF_VIEW / 2) / Math.min(aspect, 1) / zoom;
    const near = Math.max(distance - 2 * radius, distance * 0.02), far = distance + 2 * radius;
    const depth = [(far + near) / (near - far), (2 * far * near) / (near - far)];
    const columns = [0, 1, 2].map((c) => {
      const [x, y, z] = turn.slice(3 * c, 3 * c + 3);
      return [x * f / aspect, y * f, z * depth[0], -z];
    });
    return [...columns.flat(), 0, 0, -distance * depth[0] + depth[1], distance];
  }

  // --- drawing -------------------------------------------------------------------------------------------------

  class Renderer {
    constructor() {
      this.canvas = document.createElement("canvas");
      this.gl = this.canvas.getContext("webgl2", { antialias: true, alpha: true });
      if (!this.gl) throw new Error("no WebGL 2");
      this.canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
      this.canvas.addEventListener("webglcontextrestored", () => { this.prepare(); views.forEach((view) => view.refresh()); });
      this.prepare();
    }

    prepare() {
      const gl = this.gl;
      this.uploaded = new Map();  // mesh -> buffers, the least recently drawn first
      this.program = gl.createProgram();
      for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX_SHADER], [gl.FRAGMENT_SHADER, FRAGMENT_SHADER]]) {
        const shader = gl.createShader(kind);
        gl.shaderSource(shader, source);
        gl.compileShader(shader);
        gl.attachShader(this.program, shader);
      }
      ["position", "normal", "uv", "color"].forEach((name, i) => gl.bindAttribLocation(this.program, i, name));
      gl.linkProgram(this.program);
      if (!gl.getProgramParameter(this.program, gl.LINK_STATUS) && !gl.isContextLost()) {
        throw new Error(gl.getProgramInfoLog(this.program));
      }
      gl.vertexAttrib3f(3, 0.86, 0.84, 0.82);  // the colour of meshes that have none
      const uniform = (name) => gl.getUniformLocation(this.program, name);
      this.uniforms = Object.fromEntries(["toClip", "turn", "mode", "textured", "line"].map((name) => [name, uniform(name)]));
    }

    upload(mesh) {
      const gl = this.gl, surface = mesh.surface;
      const parts = { array: gl.createVertexArray(), buffers: [], texture: null };
      gl.bindVertexArray(parts.array);
      const attribute = (location, width, data, kind = gl.FLOAT, normalised = false) => {
        const buffer = gl.createBuffer();
        parts.buffers.push(buffer);
        gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
        gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
        gl.enableVertexAttribArray(location);
        gl.vertexAttribPointer(location, width, kind, normalised, 0, 0);
        return buffer;
      };
      parts.positions = attribute(0, 3, split(mesh.positions, surface.source));
      parts.normals = attribute(1, 3, split(normalsOf(mesh.positions, surface.corners), surface.source));
      if (surface.uv) attribute(2, 2, surface.uv);
      if (mesh.colors) attribute(3, 3, new Uint8Array(split(Float32Array.from(mesh.colors), surface.source)), gl.UNSIGNED_BYTE, true);
      const indices = (data) => {
        const buffer = gl.createBuffer();
        parts.buffers.push(buffer);
        gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffer);
        gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, data, gl.STATIC_DRAW);
        return buffer;
      };
      const edges = edgesOf(surface.triangles);
      parts.lines = indices(edges);
      parts.lineCount = edges.length;
      parts.triangles = indices(Uint32Array.from(surface.triangles));
      if (mesh.image && mesh.image.naturalWidth) {
        parts.texture = gl.createTexture();
        gl.bindTexture(gl.TEXTURE_2D, parts.texture);
        gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, mesh.image);
        gl.generateMipmap(gl.TEXTURE_2D);
        for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, side, gl.CLAMP_TO_EDGE);
      }
      return parts;
    }

    parts(mesh) {
      const parts = this.uploaded.get(mesh) || this.upload(mesh);
      this.uploaded.delete(mesh);
      this.uploaded.set(mesh, parts);
      if (this.uploaded.size > KEPT_MESHES) {
        const [oldest, old] = this.uploaded.entries().next().value;
        this.uploaded.delete(oldest);
        old.buffers.forEach((buffer) => this.gl.deleteBuffer(buffer));
        this.gl.deleteVertexArray(old.array);
        if (old.texture) this.gl.deleteTexture(old.texture);
      }
      return parts;
    }

    draw(view) {
      const gl = this.gl, { mesh, canvas } = view, { width, height } = canvas;
      if (this.canvas.width < width || this.canvas.height < height) {
        this.canvas.width = Math.max(this.canvas.width, width);
        this.canvas.height = Math.max(this.canvas.height, height);
      }
      gl.viewport(0, 0, width, height);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      const animation = mesh.animation;
      if (!animation || animation.visible[locate(animation.times, view.time)[0]]) this.drawMesh(view, width / height);
      const screen = canvas.getContext("2d");
      screen.clearRect(0, 0, width, height);
      screen.drawImage(this.canvas, 0, this.canvas.height - height, width, height, 0, 0, width, height);
    }

    drawMesh(view, aspect) {
      const gl = this.gl, mesh = view.mesh, parts = this.parts(mesh);
      gl.useProgram(this.program);
      gl.enable(gl.DEPTH_TEST);
      gl.bindVertexArray(parts.array);
      if (mesh.animation && parts.time !== view.time) {
        const positions = shapeAt(mesh, view.time);
        const fresh = { positions, normals: normalsOf(positions, mesh.surface.corners) };
        for (const name of ["positions", "normals"]) {
          gl.bindBuffer(gl.ARRAY_BUFFER, parts[name]);
          gl.bufferSubData(gl.ARRAY_BUFFER, 0, split(fresh[name], mesh.surface.source));
        }
        parts.time = view.time;
      }
      const turn = multiply3(orbit(view), turnAt(mesh.animation, view.time));
      gl.uniformMatrix4fv(this.uniforms.toClip, false, clipMatrix(turn, mesh.radius, view.zoom, aspect));
      gl.uniformMatrix3fv(this.uniforms.turn, false, turn);
      gl.uniform1i(this.uniforms.mode, view.mode);
      gl.uniform1i(this.uniforms.textured, parts.texture ? 1 : 0);
      gl.uniform3fv(this.uniforms.line, view.lineColor());
      gl.bindTexture(gl.TEXTURE_2D, parts.texture);
      if (view.mode === 2) {
        gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, parts.lines);
        gl.drawElements(gl.LINES, parts.lineCount, gl.UNSIGNED_INT, 0);
      } else {
        gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, parts.triangles);
        gl.drawElements(gl.TRIANGLES, mesh.surface.triangles.length, gl.UNSIGNED_INT, 0);
      }
    }
  }

  // --- one view ------------------------------------------------------------------------------------------------

  let renderer = null;
  const views = [];

  class View {
    constructor(canvas) {
      Object.assign(this, START, { canvas, mode: 0, time: 0, playing: false, waiting: false, onScreen: false, mesh: null });
      this.pointers = new Map();
      this.listen();
      new ResizeObserver(() => this.refresh()).observe(canvas);
      new IntersectionObserver(([entry]) => this.appear(entry.isIntersecting), { rootMargin: "300px" }).observe(canvas);
    }

    async appear(visible) {
      this.onScreen = visible;
      if (!visible) return;
      if (!this.mesh) {
        try {
          renderer = renderer || new Renderer();
        } catch (error) {
          this.canvas.parentElement.dataset.problem = "The 3D view needs WebGL 2, which this browser doesn't offer.";
          return;
        }
        this.mesh = loadMesh(this.canvas.dataset.mesh);
        this.tools();
        await this.mesh.ready;
      }
      this.refresh();
    }

    refresh() {
      if (this.waiting || !this.mesh) return;
      this.waiting = true;
      requestAnimationFrame((now) => {
        this.waiting = false;
        if (!this.onScreen) return;
        this.advance(now);
        const density = Math.min(window.devicePixelRatio || 1, 2);
        const width = Math.round(this.canvas.clientWidth * density), height = Math.round(this.canvas.clientHeight * density);
        if (!width || !height) return;
        if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
        renderer.draw(this);
        this.canvas.dataset.drawn = "yes";
        if (this.playing) this.refresh();
      });
    }

    advance(now) {
      if (this.playing) {
        const { times } = this.mesh.animation, start = times[0], end = times[times.length - 1];
        this.time += (now - (this.last || now)) / 1000;
        if (this.time > end) this.time = start;
        if (this.slider) this.slider.value = this.time;
      }
      this.last = now;
    }

    lineColor() {
      const [r, g, b] = getComputedStyle(this.canvas).color.match(/[\d.]+/g).map((part) => part / 255);
      return [r, g, b];
    }

    turn(dx, dy) {
      this.yaw += dx;
      this.pitch = Math.min(Math.max(this.pitch + dy, -1.5), 1.5);
      this.refresh();
    }

    zoomBy(factor) {
      this.zoom = Math.min(Math.max(this.zoom * factor, 0.5), 12);
      this.refresh();
    }

    listen() {
      const canvas = this.canvas;
      canvas.addEventListener("pointerdown", (event) => {
        canvas.setPointerCapture(event.pointerId);
        this.pointers.set(event.pointerId, event);
      });
      canvas.addEventListener("pointermove", (event) => this.drag(event));
      for (const end of ["pointerup", "pointercancel"]) {
        canvas.addEventListener(end, (event) => this.pointers.delete(event.pointerId));
      }
      canvas.addEventListener("wheel", (event) => {
        if (document.activeElement !== canvas && !event.ctrlKey) return;  // else the page could not be scrolled
        event.preventDefault();
        this.zoomBy(Math.exp(-event.deltaY * 0.0015));
      }, { passive: false });
      canvas.addEventListener("dblclick", () => this.reset());
      canvas.addEventListener("keydown", (event) => this.key(event));
    }

    drag(event) {
      const before = this.pointers.get(event.pointerId);
      if (!before) return;
      this.pointers.set(event.pointerId, event);
      const scale = 4 / this.canvas.clientWidth;
      if (this.pointers.size === 1) {
        this.turn((event.clientX - before.clientX) * scale, (event.clientY - before.clientY) * scale);
      } else {
        const other = [...this.pointers.values()].find((pointer) => pointer.pointerId !== event.pointerId);
        const distance = (a) => Math.hypot(a.clientX - other.clientX, a.clientY - other.clientY) || 1;
        this.zoomBy(distance(event) / distance(before));
      }
    }

    key(event) {
      const actions = {
        ArrowLeft: () => this.turn(-0.15, 0), ArrowRight: () => this.turn(0.15, 0),
        ArrowUp: () => this.turn(0, -0.15), ArrowDown: () => this.turn(0, 0.15),
        "+": () => this.zoomBy(1.15), "-": () => this.zoomBy(1 / 1.15), 0: () => this.reset(),
      };
      if (!actions[event.key]) return;
      event.preventDefault();
      actions[event.key]();
    }

    reset() {
      Object.assign(this, START);
      this.refresh();
    }

    tools() {
      const bar = document.createElement("div");
      bar.className = "tools";
      const button = (label, action) => {
        const made = document.createElement("button");
        made.type = "button";
        made.textContent = label;
        made.addEventListener("click", () => action(made));
        bar.append(made);
        return made;
      };
      const modes = MODES.map((label, mode) => button(label, () => choose(mode)));
      const choose = (mode) => {
        this.mode = mode;
        modes.forEach((made, i) => made.setAttribute("aria-pressed", i === mode));
        this.refresh();
      };
      choose(0);
      if (this.mesh.animation) this.player(bar, button);
      this.canvas.after(bar);
    }

    player(bar, button) {
      const { times } = this.mesh.animation;
      this.time = times[0];
      const play = button("Play", () => set(!this.playing));
      const set = (playing) => {
        this.playing = playing;
        this.last = 0;
        play.textContent = playing ? "Pause" : "Play";
        this.refresh();
      };
      this.slider = Object.assign(document.createElement("input"), { type: "range", step: "any", min: times[0], max: times[times.length - 1], value: times[0] });
      this.slider.setAttribute("aria-label", "Time");
      this.slider.addEventListener("input", () => {
        set(false);
        this.time = Number(this.slider.value);
        this.refresh();
      });
      bar.append(this.slider);
    }
  }

  document.querySelectorAll("canvas.face3d").forEach((canvas) => views.push(new View(canvas)));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => views.forEach((view) => view.refresh()));
})();
