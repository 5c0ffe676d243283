// The page of the admin listener: what happens, the events, the story of each, and what was given up.
//
// Values of events were written by whoever sent them. They reach the document as text nodes alone, through `value`, which
// shows what would otherwise change how text around it reads; addresses are made here, never taken from a value.

// Every word that is shown, in each language; the same keys in both, one to a line.
const TEXT = {
  en: {
    now: "Now",
    events: "Events",
    dead: "Dead letters",
    skip: "Skip to the content",
    views: "Views",
    live: "Live",
    connecting: "Connecting …",
    away: "Not connected, again in {n} s",
    resting: "At rest while hidden",
    language: "中文",
    language_title: "用中文显示",
    theme_auto: "Theme: as the system has it",
    theme_light: "Theme: light",
    theme_dark: "Theme: dark",
    keys: "Keys",
    keys_title: "Keys (?)",
    forget_token: "Forget the token",
    close: "Close",
    cancel: "Cancel",
    again: "Try again",
    loading: "Loading …",
    unreachable: "The relay does not answer.",
    read_only: "This token may look and change nothing: its role is read.",
    token_title: "This relay asks for a token",
    token_text: "One of admin.token or [admin.tokens.NAME] of its configuration. It is kept in this tab only, until the tab is closed.",
    token: "Token",
    token_wrong: "No token of this relay.",
    enter: "Enter",
    key_1: "Now, Events, Dead letters",
    key_search: "search",
    key_move: "to the next row, the one before",
    key_enter: "open it",
    key_x: "choose a dead letter",
    key_esc: "back",
    key_help: "this help",
    seconds: "{n} s",
    minutes: "{n} min",
    hours: "{n} h",
    days: "{n} d",
    in_time: "in {n}",
    hour_ago: "1 h ago",
    well: "All is well: every sink keeps up.",
    sink_down: "{sink} is down since {since}; {n} wait for it, and it is probed.",
    sink_paused: "{sink} is paused since {since}; {n} wait for it.",
    sink_orphaned: "{sink} is not configured, and {n} wait for it.",
    sink_late: "{sink} is behind: the oldest has waited {since}.",
    refused_hour: "Refused in the last hour: {n}. A wrong key, URL or clock may be why.",
    is_drained: "The relay is drained: it polls no queue, and load balancers look elsewhere, until `vodrelay drain --undo` or a restart.",
    turned_away_hour: "Answered 503 in the last hour: {n}. The journal had no room, or no time.",
    dead_kept: "Dead letters: {n}.",
    accepted: "Accepted",
    accepted_note: "{n} repeats merged",
    delivered: "Delivered",
    delivered_note: "in the last hour",
    failed: "Failed attempts",
    failed_note: "{n} requests refused",
    latency: "Time to 200",
    latency_note: "median, p99 {n}",
    tip_accepted: "{a} new, {b} repeated",
    tip_delivered: "{a} delivered",
    tip_failed: "{a} failed, {b} refused",
    tip_latency: "p50 {a}, p99 {b}",
    at_most: "max {n} / min",
    at_most_latency: "max {n}",
    none_yet: "–",
    chart: "{title}, the last hour by minute; arrow keys tell each",
    sinks: "Sinks",
    sink: "Sink",
    waiting: "Waiting",
    oldest: "Oldest",
    sent: "Delivered",
    given_up: "Dead letters",
    no_sinks: "No sink is configured, so every event is kept as unrouted.",
    pause: "Pause",
    resume: "Resume",
    retry_now: "Retry now",
    pause_title: "Pause {sink}?",
    pause_text: "Nothing starts for it until somebody resumes it, over restarts too. What waits does not age.",
    reason: "Reason, for whoever finds it paused",
    paused_done: "{sink} is paused.",
    resumed_done: "{sink} goes on.",
    retried_done: "{sink}: retries due now: {n}.",
    s_going: "delivering",
    s_down: "down",
    s_paused: "paused",
    s_orphaned: "not configured",
    s_idle: "not driven",
    refusals: "Refusals",
    refusals_note: "of the last hour",
    no_refusals: "Nothing was refused in the last hour.",
    newest_kept: "The newest that are kept",
    c_missing: "No proof",
    c_malformed: "Malformed proof",
    c_mismatch: "Wrong proof",
    c_stale: "Stale proof",
    c_unreadable: "Unreadable",
    w_missing: "Sent without signature and timestamp: switch authentication on at VOD.",
    w_malformed: "The headers of the proof are not of the right form.",
    w_mismatch: "Made with another key or for another URL: a key, public_url, or a forgery.",
    w_stale: "The key is right and the time is off: a clock, or an old proof sent again.",
    w_unreadable: "Unsigned by configuration, and not an event.",
    today: "Today",
    resembles: "Would be right for",
    key: "Key",
    off_by: "Off by",
    detail: "Then",
    latest: "Latest events",
    all_events: "All events",
    no_events: "No event yet. `vodrelay trigger --callback NAME` sends a sample.",
    no_match: "No event matches.",
    search: "Search",
    search_hint: "Event id, video id or job id; or type: status: source: label.name: …",
    state: "State",
    status: "Status",
    type: "Type",
    source: "Source",
    label: "Label",
    label_hint: "name=value",
    video: "Video",
    job: "Job",
    media: "Media",
    since: "From",
    until: "To",
    any: "any",
    success: "success",
    fail: "fail",
    filters: "More filters",
    clear: "Clear",
    older: "Show older",
    further: "Search further",
    looked: "Nothing yet; there is more to look through.",
    pending: "pending",
    dead_state: "dead letter",
    purged: "purged",
    unrouted: "unrouted",
    unreadable: "unreadable",
    d_waiting: "waiting",
    d_retry: "tried again",
    d_delivered: "delivered",
    d_dead_letter: "dead letter",
    d_purged: "purged",
    no_sink: "no sink",
    more_text: "… {n} more characters",
    story: "Story",
    back: "Back",
    gone: "This event is not kept, or no longer.",
    t_happened: "It happened at VOD",
    t_received: "Received from {source}",
    t_received_note: "Made durable, and only then said yes to.",
    t_repeat: "Came again from {source}",
    t_repeat_note: "Merged; times: {n}.",
    t_attempt: "{sink}: attempt {n} failed",
    t_delivered: "{sink}: delivered",
    t_archived: "{sink}: archived",
    t_dead: "{sink}: given up",
    t_purged: "{sink}: given up, and seen to",
    t_next: "{sink}: next attempt",
    t_waits: "{sink}: waits for its turn",
    t_unrouted: "No sink wanted it",
    t_unrouted_note: "It is kept, and goes out when the routes change and somebody replays it.",
    t_unreadable: "It cannot be read",
    took: "took {n}",
    attempt_n: "attempt {n}",
    replay_n: "replay {n}",
    status_n: "status {n}",
    facts: "What it says",
    happened: "Event time",
    error: "Error",
    extend: "Extend",
    labels: "Labels",
    bytes: "Bytes",
    sha256: "SHA-256",
    damaged: "The body is not the one that was accepted.",
    doubts: "Doubts",
    images: "Images",
    image_alt: "Image {n} of the event, from the archive",
    image_at: "{bytes}, from {sink}",
    image_not: "Image {n}: {state}",
    play: "Play",
    routing: "Who would get it today",
    takes: "gets it",
    takes_not: "does not",
    raw: "Raw body",
    raw_show: "Show",
    raw_save: "Save",
    raw_rest: "Show all {n}",
    replay: "Replay",
    replay_event: "Replay what was given up",
    replay_unrouted: "Route again",
    replay_chosen: "Replay chosen",
    replay_all: "Replay all that match",
    replay_all_title: "Replay all that match?",
    replay_all_text: "Each is delivered anew, step by step; new events keep half of the slots meanwhile. It can be ended at any time, and what was replayed by then stays so.",
    replayed: "Replayed: {n}.",
    left_alone: "Left alone: {n}.",
    purge_chosen: "Purge chosen",
    purge_chosen_title: "Purge what is chosen: {n}?",
    purge_all: "Purge all that match",
    purge_all_title: "Purge all that match?",
    purge_text: "They leave the list and the figures, and nothing brings them back by itself. Their events stay as history until retention removes them.",
    purged_n: "Purged: {n}.",
    chosen: "Chosen: {n}",
    choose: "Choose {id}",
    choose_none: "Choose none",
    reason_part: "Part of the reason",
    no_letters: "No dead letter. What is given up stands here, with the reason.",
    no_letter_match: "No dead letter matches.",
    attempts_n: "attempts: {n}",
    replays: "Replays",
    j_running: "at work",
    j_done: "done",
    j_cancelled: "ended by somebody",
    j_failed: "failed",
    j_interrupted: "interrupted",
    j_progress: "replayed {n}, looked at {m}",
    end: "End it",
  },
  zh: {
    now: "概览",
    events: "事件",
    dead: "死信",
    skip: "跳到正文",
    views: "视图",
    live: "实时",
    connecting: "连接中…",
    away: "未连接，{n} 秒后重试",
    resting: "页面隐藏，已暂停",
    language: "EN",
    language_title: "Show in English",
    theme_auto: "主题：跟随系统",
    theme_light: "主题：浅色",
    theme_dark: "主题：深色",
    keys: "快捷键",
    keys_title: "快捷键（?）",
    forget_token: "清除令牌",
    close: "关闭",
    cancel: "取消",
    again: "重试",
    loading: "加载中…",
    unreachable: "中继没有响应。",
    read_only: "此令牌只能查看，不能更改：其角色为 read。",
    token_title: "此中继需要令牌",
    token_text: "配置中 admin.token 或 [admin.tokens.NAME] 之一。只保存在本标签页，关闭即清除。",
    token: "令牌",
    token_wrong: "不是此中继的令牌。",
    enter: "进入",
    key_1: "概览、事件、死信",
    key_search: "搜索",
    key_move: "下一行、上一行",
    key_enter: "打开",
    key_x: "选择死信",
    key_esc: "返回",
    key_help: "本帮助",
    seconds: "{n} 秒",
    minutes: "{n} 分钟",
    hours: "{n} 小时",
    days: "{n} 天",
    in_time: "{n}后",
    hour_ago: "1 小时前",
    well: "一切正常：所有目标都跟得上。",
    sink_down: "{sink} 自 {since} 起不可用；{n} 条在等待，正在探测。",
    sink_paused: "{sink} 自 {since} 起已暂停；{n} 条在等待。",
    sink_orphaned: "{sink} 未配置，仍有 {n} 条在等待。",
    sink_late: "{sink} 落后：最早一条已等待 {since}。",
    refused_hour: "过去一小时拒绝 {n} 次，可能是密钥、URL 或时钟有误。",
    is_drained: "中继正在排空：不再轮询队列，负载均衡会转向别处；运行 `vodrelay drain --undo` 或重启后恢复。",
    turned_away_hour: "过去一小时答复 503 共 {n} 次：日志存储没有空间，或来不及。",
    dead_kept: "死信：{n}。",
    accepted: "已接收",
    accepted_note: "合并重复 {n}",
    delivered: "已投递",
    delivered_note: "过去一小时",
    failed: "失败的尝试",
    failed_note: "拒绝请求 {n}",
    latency: "应答 200 用时",
    latency_note: "中位数，p99 {n}",
    tip_accepted: "新 {a}，重复 {b}",
    tip_delivered: "投递 {a}",
    tip_failed: "失败 {a}，拒绝 {b}",
    tip_latency: "p50 {a}，p99 {b}",
    at_most: "最多 {n}/分",
    at_most_latency: "最长 {n}",
    none_yet: "–",
    chart: "{title}，过去一小时，按分钟；用方向键逐一查看",
    sinks: "目标",
    sink: "目标",
    waiting: "等待",
    oldest: "最早",
    sent: "已投递",
    given_up: "死信",
    no_sinks: "没有配置目标，所有事件都保留为未路由。",
    pause: "暂停",
    resume: "恢复",
    retry_now: "立即重试",
    pause_title: "暂停 {sink}？",
    pause_text: "在有人恢复之前不再开始投递，重启后也是如此。等待中的不计时。",
    reason: "原因，留给看到它的人",
    paused_done: "{sink} 已暂停。",
    resumed_done: "{sink} 已恢复。",
    retried_done: "{sink}：立即重试 {n} 条。",
    s_going: "投递中",
    s_down: "不可用",
    s_paused: "已暂停",
    s_orphaned: "未配置",
    s_idle: "未运行",
    refusals: "拒绝",
    refusals_note: "过去一小时",
    no_refusals: "过去一小时没有拒绝任何请求。",
    newest_kept: "最新保留的请求",
    c_missing: "没有签名",
    c_malformed: "签名格式有误",
    c_mismatch: "签名不符",
    c_stale: "签名过期",
    c_unreadable: "无法读取",
    w_missing: "请求没有签名和时间戳：请在 VOD 控制台开启鉴权。",
    w_malformed: "签名头的格式不正确。",
    w_mismatch: "用了别的密钥或 URL：检查密钥、public_url，也可能是伪造。",
    w_stale: "密钥正确但时间不对：时钟有误，或旧签名被再次发送。",
    w_unreadable: "按配置不验签，内容也不是事件。",
    today: "如今",
    resembles: "若用于此则正确",
    key: "密钥",
    off_by: "相差",
    detail: "当时",
    latest: "最新事件",
    all_events: "全部事件",
    no_events: "还没有事件。`vodrelay trigger --callback NAME` 可发送样例。",
    no_match: "没有匹配的事件。",
    search: "搜索",
    search_hint: "事件 ID、视频 ID 或任务 ID；或 type: status: source: label.name: …",
    state: "状态",
    status: "结果",
    type: "类型",
    source: "来源",
    label: "标签",
    label_hint: "名称=值",
    video: "视频",
    job: "任务",
    media: "媒体",
    since: "从",
    until: "到",
    any: "不限",
    success: "成功",
    fail: "失败",
    filters: "更多条件",
    clear: "清除",
    older: "更早的",
    further: "继续查找",
    looked: "暂无结果，后面还有更多。",
    pending: "待投递",
    dead_state: "死信",
    purged: "已清理",
    unrouted: "未路由",
    unreadable: "无法读取",
    d_waiting: "等待",
    d_retry: "重试中",
    d_delivered: "已投递",
    d_dead_letter: "死信",
    d_purged: "已清理",
    no_sink: "无目标",
    more_text: "… 还有 {n} 个字符",
    story: "经过",
    back: "返回",
    gone: "此事件没有保留，或已不再保留。",
    t_happened: "在 VOD 发生",
    t_received: "由 {source} 收到",
    t_received_note: "先落盘，然后才答复成功。",
    t_repeat: "由 {source} 再次收到",
    t_repeat_note: "已合并，共 {n} 次。",
    t_attempt: "{sink}：第 {n} 次尝试失败",
    t_delivered: "{sink}：已投递",
    t_archived: "{sink}：已归档",
    t_dead: "{sink}：已放弃",
    t_purged: "{sink}：已放弃并处理",
    t_next: "{sink}：下次尝试",
    t_waits: "{sink}：等待投递",
    t_unrouted: "没有目标需要它",
    t_unrouted_note: "已保留；路由更改后，重放即可投递。",
    t_unreadable: "无法读取",
    took: "用时 {n}",
    attempt_n: "第 {n} 次尝试",
    replay_n: "第 {n} 次重放",
    status_n: "状态码 {n}",
    facts: "事件内容",
    happened: "事件时间",
    error: "错误",
    extend: "Extend",
    labels: "标签",
    bytes: "字节",
    sha256: "SHA-256",
    damaged: "正文与接收时不符。",
    doubts: "疑点",
    images: "图片",
    image_alt: "事件的第 {n} 张图片，来自归档",
    image_at: "{bytes}，来自 {sink}",
    image_not: "第 {n} 张图片：{state}",
    play: "播放",
    routing: "按当前配置由谁接收",
    takes: "接收",
    takes_not: "不接收",
    raw: "原始正文",
    raw_show: "显示",
    raw_save: "保存",
    raw_rest: "显示全部 {n}",
    replay: "重放",
    replay_event: "重放已放弃的投递",
    replay_unrouted: "重新路由",
    replay_chosen: "重放所选",
    replay_all: "重放全部匹配项",
    replay_all_title: "重放全部匹配项？",
    replay_all_text: "逐步重新投递；期间新事件仍占一半名额。可随时结束，已重放的保持不变。",
    replayed: "已重放：{n}。",
    left_alone: "未动：{n}。",
    purge_chosen: "清理所选",
    purge_chosen_title: "清理所选的 {n} 条？",
    purge_all: "清理全部匹配项",
    purge_all_title: "清理全部匹配项？",
    purge_text: "它们将从列表和计数中移除，不会自行恢复。事件本身作为历史保留，直至超过保留期。",
    purged_n: "已清理：{n}。",
    chosen: "已选：{n}",
    choose: "选择 {id}",
    choose_none: "取消选择",
    reason_part: "原因包含",
    no_letters: "没有死信。放弃的投递会连同原因列在这里。",
    no_letter_match: "没有匹配的死信。",
    attempts_n: "尝试 {n} 次",
    replays: "重放任务",
    j_running: "进行中",
    j_done: "已完成",
    j_cancelled: "已被结束",
    j_failed: "失败",
    j_interrupted: "已中断",
    j_progress: "已重放 {n}，已查看 {m}",
    end: "结束",
  },
};

const API = "api/v1";
const SVG = "http://www.w3.org/2000/svg";
const EVENT_ID = /^evt_1[0-9a-f]{32}$/;

// What stays while the tab does. Some browsers forbid to keep anything.
const kept = (area, key, given) => {
  try {
    if (given === undefined) return area().getItem(key);
    if (given === null) area().removeItem(key);
    else area().setItem(key, given);
  } catch {
    // Then it is forgotten with the page.
  }
  return null;
};
const local = () => localStorage;
const session = () => sessionStorage;

const inChinese = (navigator.languages ?? [navigator.language])[0]?.toLowerCase().startsWith("zh");
let language = kept(local, "vodrelay.language") ?? (inChinese ? "zh" : "en");
let theme = kept(local, "vodrelay.theme") ?? "auto";
let token = kept(session, "vodrelay.token");
if (!TEXT[language]) language = "en";

const t = (key, values = {}) => (TEXT[language][key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

// ---------------------------------------------------------------------------------------------------------------------
// The document, made of elements and text nodes.

function el(tag, props = {}, ...children) {
  const node = tag.startsWith("svg:") ? document.createElementNS(SVG, tag.slice(4)) : document.createElement(tag);
  for (const [name, given] of Object.entries(props)) {
    if (given === undefined || given === null || given === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), given);
    else node.setAttribute(name, given === true ? "" : String(given));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

// Draws the place again by changing what is other than it was, so that the focus, a selection and a click under way stay.
// Children are the same by their keys, those without by their places. Whatever listens has a key, since it goes on doing
// what it did; one with a `whole` keeps its inside for as long as that is the same.
function draw(place, ...children) {
  keepingFocus(place, () => patch(place, [...el("div", {}, children).childNodes]));
}

const keyOf = (node) => node.dataset?.key ?? node.dataset?.id;

function patch(place, children) {
  const keys = new Set(children.map(keyOf));
  for (const old of [...place.childNodes]) if (keyOf(old) && !keys.has(keyOf(old))) old.remove();
  const known = new Map([...place.childNodes].map((old) => [keyOf(old), old]));
  let next = place.firstChild;
  for (const child of children) {
    const same = keyOf(child) ? known.get(keyOf(child)) : next && !keyOf(next) ? next : undefined;
    if (same && same.nodeName === child.nodeName && same.whole === child.whole) {
      if (same !== next) place.insertBefore(same, next);
      become(same, child);
      next = same.nextSibling;
    } else {
      place.insertBefore(child, next);
      if (same && same === next) next = same.nextSibling;
      same?.remove();
    }
  }
  while (next) {
    const rest = next.nextSibling;
    next.remove();
    next = rest;
  }
}

function become(old, child) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== child.data) old.data = child.data;
    return;
  }
  if (child.whole !== undefined) return;
  // What somebody opened, and a button whose work is under way, stay so.
  const names = new Set([...old.getAttributeNames(), ...child.getAttributeNames()].filter((name) => name !== "open" && name !== "disabled"));
  for (const name of names) {
    const given = child.getAttribute(name);
    if (given === null) old.removeAttribute(name);
    else if (old.getAttribute(name) !== given) old.setAttribute(name, given);
  }
  if (old.type === "checkbox") old.checked = child.checked;
  patch(old, [...child.childNodes]);
}

// What is drawn anew keeps the focus where it was.
function keepingFocus(place, change) {
  const key = place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  change();
  if (key && !place.contains(document.activeElement)) place.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

// Characters that show nothing or change how what follows is read, and halves of characters.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\u115f\u1160\u2800\u3164\uffa0]/gu;

// Text with each of those as a small mark. Where lines are welcome, they and tabs stay.
function pieces(text, lines = false) {
  const found = [];
  let from = 0;
  for (const { 0: unseen, index } of text.matchAll(UNSEEN)) {
    if (lines && (unseen === "\n" || unseen === "\t")) continue;
    if (lines && unseen === "\r" && text[index + 1] === "\n") continue;
    if (index > from) found.push(text.slice(from, index));
    const code = unseen.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
    found.push(el("span", { class: "mark" }, `U+${code}`));
    from = index + unseen.length;
  }
  found.push(text.slice(from));
  return found;
}

// A value of somebody else, by itself in the line and cut where it is long; the rest comes on demand where that is wanted.
function value(text, { most = 200, rest = true, mono = false } = {}) {
  const all = Array.from(String(text));
  const node = el("span", { class: mono ? "value mono" : "value", dir: "auto" }, pieces(all.slice(0, most).join("")));
  if (all.length > most) {
    const more = t("more_text", { n: all.length - most });
    const show = () => node.replaceChildren(...pieces(all.slice(0, 20_000).join("")));
    node.append(rest ? el("button", { class: "bare slight", type: "button", onclick: show }, more) : " …");
    node.whole = String(text);
  }
  return node;
}

// A sentence with elements at the places of its braces.
function sentence(key, values) {
  return (TEXT[language][key] ?? key).split(/(\{\w+\})/).map((part) => {
    const name = /^\{(\w+)\}$/.exec(part)?.[1];
    return name ? (values[name] ?? "") : part;
  });
}

function say(text, isBad = false) {
  const line = el("p", isBad ? { class: "bad" } : {}, text);
  document.getElementById("said").append(line);
  setTimeout(() => line.remove(), isBad ? 8_000 : 4_000);
}

const locale = () => (language === "zh" ? "zh-CN" : "en-GB");
const count = (number) => Number(number).toLocaleString(locale());

function size(bytes) {
  if (bytes < 1024) return `${count(bytes)} B`;
  if (bytes < 1 << 20) return `${(bytes / 1024).toFixed(1)} KiB`;
  return `${(bytes / (1 << 20)).toFixed(1)} MiB`;
}

function span(milliseconds) {
  if (milliseconds === null || milliseconds === undefined) return t("none_yet");
  if (milliseconds < 9.95) return `${milliseconds.toFixed(1)} ms`;
  if (milliseconds < 1_000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1_000;
  if (seconds < 10) return t("seconds", { n: seconds.toFixed(1) });
  if (seconds < 90) return t("seconds", { n: Math.round(seconds) });
  if (seconds < 5_400) return t("minutes", { n: Math.round(seconds / 60) });
  if (seconds < 129_600) return t("hours", { n: Math.round(seconds / 3_600) });
  return t("days", { n: Math.round(seconds / 86_400) });
}

// By the relay's clock, which may be another than the browser's.
let skew = 0;
const relayNow = () => Date.now() + skew;

function clock(iso, { seconds = true, thousandths = false } = {}) {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return String(iso);
  const time = { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...(seconds ? { second: "2-digit" } : {}) };
  if (thousandths) time.fractionalSecondDigits = 3;
  const now = new Date(relayNow());
  const day = { day: "numeric", month: "short", ...(at.getFullYear() === now.getFullYear() ? {} : { year: "numeric" }) };
  const isToday = at.toDateString() === now.toDateString();
  return at.toLocaleString(locale(), isToday ? time : { ...day, ...time });
}

const moment = (iso, options) => el("time", { datetime: iso, title: iso, class: "number" }, clock(iso, options));
const exactly = (iso) => moment(iso, { thousandths: true });
const age = (iso) => span(Math.max(0, relayNow() - Date.parse(iso)));

const STATES = {
  delivered: ["good", "d_delivered"],
  pending: ["wait", "pending"],
  dead: ["bad", "dead_state"],
  purged: ["none", "purged"],
  unrouted: ["none", "unrouted"],
  unreadable: ["odd", "unreadable"],
};
const DELIVERIES = {
  waiting: ["wait", "d_waiting"],
  retry: ["warn", "d_retry"],
  delivered: ["good", "d_delivered"],
  dead_letter: ["bad", "d_dead_letter"],
  purged: ["none", "d_purged"],
};

const dot = (kind = "") => el("span", { class: `dot ${kind}`, "aria-hidden": "true" });
const state = ([kind, word] = ["none", "none_yet"]) => el("span", { class: `state ${kind}` }, dot(), t(word));

// ---------------------------------------------------------------------------------------------------------------------
// The API.

class Problem extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(path, { method = "GET", body, signal, as = "json" } = {}) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  if (body !== undefined) headers["content-type"] = "application/json";
  const request = { method, headers, signal, cache: "no-store", redirect: "error", body: body && JSON.stringify(body) };
  let response;
  try {
    response = await fetch(`${API}/${path}`, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, t("unreachable"));
  }
  if (response.ok) return response[as]();
  const said = await response.json().catch(() => ({}));
  if (response.status === 401) askForToken();
  throw new Problem(response.status, response.status === 403 ? t("read_only") : (said.error ?? String(response.status)));
}

const query = (pairs) => {
  const asked = new URLSearchParams(pairs.filter(([, given]) => given !== null && given !== undefined && given !== ""));
  return asked.size ? `?${asked}` : "";
};

// Does what somebody asked for, once at a time, and tells what went wrong.
async function act(button, what) {
  button.disabled = true;
  try {
    await what();
  } catch (error) {
    if (error.name !== "AbortError") say(error.message, true);
  } finally {
    button.disabled = false;
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// What happens, as it happens: read by fetch, since an EventSource sends no token.

const stream = { abort: null, last: null, failures: 0, timer: null, isHidden: false };

function listen() {
  clearTimeout(stream.timer);
  stream.abort?.abort();
  stream.abort = new AbortController();
  read(stream.abort.signal);
}

async function read(signal) {
  showLive("connecting", t("connecting"));
  try {
    const headers = token ? { authorization: `Bearer ${token}` } : {};
    if (stream.last !== null) headers["last-event-id"] = stream.last;
    const response = await fetch(`${API}/stream`, { headers, signal, cache: "no-store", redirect: "error" });
    if (response.status === 401) return askForToken();
    if (!response.ok) throw new Problem(response.status, "");
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value: chunk, done } = await reader.read();
      if (done) break;
      text += chunk;
      const whole = text.split("\n\n");
      text = whole.pop();
      whole.forEach(hear);
    }
  } catch (error) {
    if (signal.aborted) return;
  }
  if (!signal.aborted) comeBack();
}

function hear(block) {
  const fields = { event: "", data: "" };
  for (const line of block.split("\n")) {
    const at = line.indexOf(": ");
    if (at > 0) fields[line.slice(0, at)] = line.slice(at + 2);
  }
  if (fields.id !== undefined) stream.last = fields.id;
  if (!fields.data) return;
  const data = JSON.parse(fields.data);
  if (fields.event === "ready") {
    // What happened between the first look and now, or while nobody listened, is told by the lists alone.
    stream.failures = 0;
    view?.refresh?.();
    showLive("live", t("live"));
  } else if (fields.event !== "end") {
    if (fields.event === "settled") note(data);
    try {
      view?.happened?.(fields.event, data);
    } catch (error) {
      // The stream is not to end for it.
      console.error(error);
    }
  }
}

// A list that was asked for a moment ago may come after what has changed in it since.
const settlements = [];

function note(data) {
  settlements.push({ data, at: performance.now() });
  while (settlements[0].at < performance.now() - 30_000) settlements.shift();
}

// What was heard since then, on top of a list that was asked for then: events that are newer, and what was settled.
function freshen(listed, heard, asked) {
  const newest = listed[0]?.seq ?? 0;
  const all = [...heard.filter((event) => event.seq > newest), ...listed];
  settlements.filter(({ at }) => at >= asked).forEach(({ data }) => settle(all, data));
  return all;
}

// Later and later, half a minute at most, and not all at the same moment.
function comeBack() {
  const wait = Math.min(30, 2 ** stream.failures) * (0.75 + Math.random() / 2);
  stream.failures += 1;
  const until = Date.now() + wait * 1_000;
  const step = () => {
    const left = Math.ceil((until - Date.now()) / 1_000);
    if (left <= 0) return listen();
    showLive("off", t("away", { n: left }));
    stream.timer = setTimeout(step, 500);
  };
  step();
}

function showLive(how, text) {
  const place = document.getElementById("live");
  if (!place || (place.dataset.state === how && place.lastChild.textContent === text)) return;
  if (place.dataset.state !== how) announce(text);
  place.dataset.state = how;
  place.lastChild.textContent = text;
}

// Connections are few, so a tab that nobody looks at gives its back after a while.
function heedVisibility() {
  clearTimeout(stream.rest);
  if (document.hidden) {
    stream.rest = setTimeout(() => {
      stream.isHidden = true;
      clearTimeout(stream.timer);
      stream.abort?.abort();
      showLive("connecting", t("resting"));
    }, 30_000);
  } else if (stream.isHidden) {
    stream.isHidden = false;
    listen();
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Images, fetched with the token. In lists they stand still, and only those that are seen are fetched, two at a time.

const pictures = new Map();
const wanted = [];
let fetching = 0;
let archives = [];

async function firstKept(id, signal) {
  const found = await ask(`events/${id}/images`, { signal });
  const place = found.archives.map((archive) => archive.images.findIndex((image) => image.state === "kept"));
  return place.find((place) => place >= 0) ?? -1;
}

const image = (id, place, signal) => ask(`events/${id}/images/${place}`, { signal, as: "blob" });

async function still(blob, width) {
  const bitmap = await createImageBitmap(blob);
  const canvas = el("canvas", { width, height: Math.max(1, Math.round((bitmap.height / bitmap.width) * width)) });
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return canvas;
}

function fetchWanted() {
  while (fetching < 2 && wanted.length > 0) {
    const { id, place } = wanted.shift();
    if (!place.isConnected) continue;
    fetching += 1;
    thumbnail(id)
      .then((canvas) => place.replaceChildren(...(canvas ? [copyOf(canvas)] : [])))
      .catch(() => {})
      .finally(() => {
        fetching -= 1;
        fetchWanted();
      });
  }
}

async function thumbnail(id) {
  if (!pictures.has(id)) {
    const place = await firstKept(id);
    if (place < 0) return null;
    pictures.set(id, await still(await image(id, place), 168));
    if (pictures.size > 300) pictures.delete(pictures.keys().next().value);
  }
  return pictures.get(id);
}

function copyOf(canvas) {
  const copy = el("canvas", { width: canvas.width, height: canvas.height });
  copy.getContext("2d").drawImage(canvas, 0, 0);
  return copy;
}

const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    wanted.push({ id: target.dataset.id, place: target });
  }
  fetchWanted();
});

function thumb(event) {
  const place = el("span", { class: "thumb", "data-id": event.id, "aria-hidden": "true" });
  const isArchived = event.deliveries.some(({ sink, state }) => state === "delivered" && archives.includes(sink));
  if (pictures.has(event.id)) place.append(copyOf(pictures.get(event.id)));
  else if (isArchived && event.event_type === "DynamicImageComplete") seen.observe(place);
  place.whole = isArchived;
  return place;
}

// ---------------------------------------------------------------------------------------------------------------------
// Charts: sixty bars or two lines, one place for each minute.

const WIDTH = 240;
const HEIGHT = 60;

// `of` gives the parts of a minute, the lowest first; `tip` says one minute in words.
function chart({ title, of, classes, tip, note, most: wordOfMost, isLine = false, show = count }) {
  const figure = el("p", { class: "figure number" });
  const drawing = el("svg:svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const left = el("span");
  const right = el("span");
  const node = el(
    "figure",
    { class: "card tile", tabindex: 0, role: "group", "aria-label": t("chart", { title }) },
    el("h3", {}, title),
    figure,
    drawing,
    el("figcaption", { class: "axis number" }, left, right),
  );
  let minutes = [];
  let shown = null;

  const most = () => Math.max(...minutes.flatMap((minute) => (minute ? (isLine ? of(minute) : [sum(of(minute))]) : [])), 0);
  const say = () => {
    const minute = shown === null ? null : minutes[shown];
    left.textContent = minute ? clock(minute.at, { seconds: false }) : t("hour_ago");
    right.textContent = minute ? tip(minute) : most() > 0 ? t(wordOfMost, { n: show(most()) }) : "";
  };
  const at = (index) => {
    shown = index === null ? null : Math.min(59, Math.max(0, index));
    paint();
  };
  node.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect();
    at(Math.floor(((event.clientX - box.left) / box.width) * 60));
  });
  node.addEventListener("pointerleave", () => at(null));
  node.addEventListener("blur", () => at(null));
  node.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    at(shown === null ? 59 : shown + step);
    announce(`${left.textContent} ${right.textContent}`);
  });

  function paint() {
    const top = most() || 1;
    const step = WIDTH / 60;
    const y = (part) => HEIGHT - (part / top) * (HEIGHT - 2);
    const parts = [el("svg:path", { class: "base", d: `M0 ${HEIGHT}H${WIDTH}` })];
    if (shown !== null) parts.push(el("svg:rect", { class: "here", x: shown * step, y: 0, width: step, height: HEIGHT }));
    if (isLine) {
      classes.forEach((name, which) => parts.push(el("svg:path", { class: name, d: line(which, step, y) })));
    } else {
      minutes.forEach((minute, index) => minute && bars(parts, of(minute), index * step, step, y));
    }
    drawing.replaceChildren(...parts);
    say();
  }

  function bars(parts, values, x, step, y) {
    let below = 0;
    values.forEach((part, which) => {
      if (part > 0) {
        const height = Math.max(y(below) - y(below + part), 1.5);
        const place = { x: x + step * 0.12, y: y(below) - height, width: step * 0.76, height };
        parts.push(el("svg:rect", { class: classes[which], ...place }));
      }
      below += part;
    });
  }

  // Where a minute has nothing the line is broken; one that stands alone is a short dash.
  function line(which, step, y) {
    let path = "";
    let isOn = false;
    minutes.forEach((minute, index) => {
      const part = minute ? of(minute)[which] : null;
      if (part === null) return (isOn = false);
      path += isOn ? `L${(index + 0.5) * step} ${y(part)}` : `M${index * step + 1} ${y(part)}H${(index + 0.5) * step}`;
      if (minutes[index + 1] ? of(minutes[index + 1])[which] === null : true) path += `H${(index + 1) * step - 1}`;
      isOn = true;
    });
    return path;
  }

  return {
    node,
    update(hour, now) {
      minutes = now;
      draw(figure, note(hour));
      paint();
    },
  };
}

const sum = (parts) => parts.reduce((all, part) => all + part, 0);

// Sixty places, the last one for the minute that is under way; nothing where the relay did not run.
function hourOf({ now, minutes }) {
  const last = Math.floor(Date.parse(now) / 60_000);
  const places = new Array(60).fill(null);
  for (const minute of minutes) {
    const place = 59 - (last - Date.parse(minute.at) / 60_000);
    if (place >= 0 && place < 60) places[place] = minute;
  }
  return places;
}

// ---------------------------------------------------------------------------------------------------------------------
// Now.

function nowView() {
  const aborting = new AbortController();
  const total = (hour, name) => sum(hour.minutes.map((minute) => minute[name]));
  const noted = (figure, note) => [figure, el("small", {}, note)];
  const charts = [
    chart({
      title: t("accepted"),
      of: (minute) => [minute.accepted, minute.repeated],
      classes: ["fill-1", "fill-2"],
      most: "at_most",
      tip: (minute) => t("tip_accepted", { a: count(minute.accepted), b: count(minute.repeated) }),
      note: (hour) => noted(count(total(hour, "accepted")), t("accepted_note", { n: count(total(hour, "repeated")) })),
    }),
    chart({
      title: t("delivered"),
      of: (minute) => [minute.delivered],
      classes: ["fill-1"],
      most: "at_most",
      tip: (minute) => t("tip_delivered", { a: count(minute.delivered) }),
      note: (hour) => noted(count(total(hour, "delivered")), t("delivered_note")),
    }),
    chart({
      title: t("failed"),
      of: (minute) => [minute.failed, minute.refused],
      classes: ["fill-bad", "fill-warn"],
      most: "at_most",
      tip: (minute) => t("tip_failed", { a: count(minute.failed), b: count(minute.refused) }),
      note: (hour) => noted(count(total(hour, "failed")), t("failed_note", { n: count(total(hour, "refused")) })),
    }),
    chart({
      title: t("latency"),
      of: (minute) => [minute.ack_p50_ms, minute.ack_p99_ms],
      classes: ["line-1", "line-2"],
      most: "at_most_latency",
      isLine: true,
      show: span,
      tip: (minute) => t("tip_latency", { a: span(minute.ack_p50_ms), b: span(minute.ack_p99_ms) }),
      note: (hour) => noted(span(hour.ack_p50_ms), t("latency_note", { n: span(hour.ack_p99_ms) })),
    }),
  ];
  const summary = el("ul", { class: "summary" });
  const sinks = el("div");
  const causes = el("div", { class: "causes" });
  const refused = el("ul", { class: "lines" });
  const latest = el("ol", { class: "rows plain" });
  let hour = null;
  let events = [];
  let timer = null;

  async function load() {
    clearTimeout(timer);
    try {
      const signal = aborting.signal;
      const [now, all] = await Promise.all([ask("now", { signal }), ask("sinks", { signal })]);
      takeNow(now);
      hour = now;
      const places = hourOf(now);
      charts.forEach((one) => one.update(now, places));
      draw(summary, summaryOf(now, all.sinks));
      showSinks(all.sinks);
      showCauses(now);
    } catch (error) {
      if (error.name === "AbortError" || error.status === 401) return;
      draw(summary, el("li", { class: "bad" }, dot(), error.message));
    }
    if (!document.hidden) timer = setTimeout(load, 3_000);
  }

  const again = () => document.hidden || load();
  document.addEventListener("visibilitychange", again);

  async function loadLists() {
    const signal = aborting.signal;
    const asked = performance.now();
    const [page, refusals] = await Promise.all([ask("events?limit=8", { signal }), ask("refused?limit=6", { signal })]);
    events = freshen(page.events, events, asked).slice(0, 8);
    showLatest();
    showRefused(refusals.refused);
  }

  function showLatest() {
    const empty = el("li", { class: "empty" }, t("no_events"));
    draw(latest, events.length ? events.map((event) => row(event, true)) : empty);
  }

  function showSinks(all) {
    if (all.length === 0) return draw(sinks, el("p", { class: "empty" }, t("no_sinks")));
    const heads = [["sink"], ["waiting", "right"], ["oldest", "right"], ["sent", "right"], ["given_up", "right"], [null]];
    const head = ([word, side]) => el("th", { class: side, scope: "col" }, word ? t(word) : "");
    const body = el("tbody", {}, all.map((sink) => sinkRow(sink, load)));
    draw(sinks, el("table", {}, el("thead", {}, el("tr", {}, heads.map(head))), body));
  }

  function showCauses(now) {
    const all = Object.entries(now.refused).sort(([, one], [, other]) => other - one);
    const most = Math.max(...all.map(([, times]) => times), 1);
    const shown = all.map(([cause, times]) => {
      const share = el("i");
      share.style.width = `${(times / most) * 100}%`;
      return el(
        "div",
        {},
        el("p", { class: "cause" }, t(`c_${cause}`), el("span", { class: "number" }, count(times))),
        el("div", { class: "share" }, share),
        el("p", { class: "quiet small" }, t(`w_${cause}`)),
      );
    });
    draw(causes, shown.length ? shown : el("p", { class: "quiet" }, t("no_refusals")));
  }

  function showRefused(all) {
    refused.parentNode.hidden = all.length === 0;
    // One that somebody reads stays as it is.
    if (!refused.querySelector("details[open]")) draw(refused, all.map(refusalLine));
  }

  loadLists().catch((error) => error.name === "AbortError" || error.status === 401 || say(error.message, true));
  load();
  const lately = slowly(() => loadLists().catch(() => {}), 2_000);
  const soon = slowly(showLatest, 300);
  return {
    title: t("now"),
    node: [
      el("div", { class: "title" }, el("h1", {}, t("now"))),
      summary,
      el("div", { class: "tiles" }, charts.map((one) => one.node)),
      el(
        "div",
        { class: "two" },
        el(
          "div",
          {},
          el("section", { class: "card", "aria-labelledby": "sinks" }, el("h2", { id: "sinks" }, t("sinks")), sinks),
          el(
            "section",
            { class: "card", "aria-labelledby": "latest" },
            el("div", { class: "head" }, el("h2", { id: "latest" }, t("latest")), el("a", { href: "#/events" }, t("all_events"))),
            latest,
          ),
        ),
        el(
          "section",
          { class: "card", "aria-labelledby": "refusals" },
          el("div", { class: "head" }, el("h2", { id: "refusals" }, t("refusals")), el("span", { class: "quiet small" }, t("refusals_note"))),
          causes,
          el("div", {}, el("h3", {}, t("newest_kept")), refused),
        ),
      ),
    ],
    happened(kind, data) {
      if (kind === "accepted") {
        events = [data, ...events.filter((event) => event.id !== data.id)].slice(0, 8);
        soon();
      } else if (kind === "settled" && settle(events, data)) soon();
      else if (kind === "refused") lately();
      else if (kind === "sink") load();
    },
    refresh() {
      load();
      lately();
    },
    close() {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", again);
      aborting.abort();
    },
  };
}

function summaryOf(now, sinks) {
  const lines = [];
  const add = (kind, key, values, href) => {
    const words = sentence(key, values);
    lines.push(el("li", { class: kind }, dot(), href ? el("a", { href }, words) : el("span", {}, words)));
  };
  for (const sink of sinks) {
    const name = sink.sink;
    const n = count(sink.pending);
    if (sink.paused) add("warn", "sink_paused", { sink: name, since: clock(sink.paused.since), n });
    else if (!sink.configured && sink.pending > 0) add("bad", "sink_orphaned", { sink: name, n });
    else if (sink.breaker?.state === "open") add("bad", "sink_down", { sink: name, since: clock(sink.breaker.since), n });
    else if (sink.oldest_pending_at && relayNow() - Date.parse(sink.oldest_pending_at) > 60_000) {
      add("warn", "sink_late", { sink: name, since: age(sink.oldest_pending_at) });
    }
  }
  if (now.drained) add("warn", "is_drained", {});
  const dead = sum(sinks.map((sink) => sink.dead_letters)) + now.totals.unreadable;
  const away = sum(now.minutes.map((minute) => minute.turned_away));
  const refused = sum(Object.values(now.refused));
  if (away > 0) add("bad", "turned_away_hour", { n: count(away) });
  if (refused > 0) add("warn", "refused_hour", { n: count(refused) });
  if (dead > 0) add("bad", "dead_kept", { n: count(dead) }, "#/dead");
  if (lines.length === 0) add("good", "well", {});
  return lines;
}

function sinkRow(sink, changed) {
  const name = sink.sink;
  const isDown = sink.breaker?.state === "open";
  const how = sink.paused
    ? ["warn", "s_paused"]
    : !sink.configured
      ? ["bad", "s_orphaned"]
      : isDown
        ? ["bad", "s_down"]
        : sink.breaker
          ? ["good", "s_going"]
          : ["none", "s_idle"];
  const since = sink.paused?.since ?? (isDown ? sink.breaker.since : null);
  const note = [since && `${clock(since)} `, sink.paused?.reason && value(sink.paused.reason, { most: 80 })];
  const told = (label, ...told) => el("td", { class: "right number", "data-label": t(label) }, told);
  const order = (what, word, doing) =>
    el("button", { class: "slight", type: "button", "data-key": `${name}.${what}`, onclick: (event) => act(event.currentTarget, doing) }, t(word));
  return el(
    "tr",
    {},
    el("td", { class: "all" }, el("span", { class: "name" }, name), " ", state(how), note.some(Boolean) && el("span", { class: "note" }, note)),
    told("waiting", count(sink.pending)),
    told("oldest", sink.oldest_pending_at ? age(sink.oldest_pending_at) : t("none_yet")),
    told("sent", count(sink.delivered)),
    told("given_up", sink.dead_letters > 0 ? el("a", { href: `#/dead?sink=${name}`, class: "bad" }, count(sink.dead_letters)) : "0"),
    el(
      "td",
      { class: "all" },
      el(
        "div",
        { class: "actions" },
        sink.pending > 0 && !sink.paused && order("retry", "retry_now", () => retryNow(name).then(changed)),
        sink.paused
          ? order("resume", "resume", () => resume(name).then(changed))
          : sink.configured && order("pause", "pause", () => pause(name).then(changed)),
      ),
    ),
  );
}

async function retryNow(sink) {
  const asked_at = new Date(relayNow()).toISOString();
  let changed = 0;
  for (let more = true; more; ) {
    const step = await ask(`sinks/${sink}/retry-now`, { method: "POST", body: { asked_at } });
    changed += step.changed;
    more = step.more;
  }
  say(t("retried_done", { sink, n: count(changed) }));
}

async function resume(sink) {
  await ask(`sinks/${sink}/resume`, { method: "POST", body: {} });
  say(t("resumed_done", { sink }));
}

async function pause(sink) {
  const reason = el("input", { type: "text", maxlength: 200, autocomplete: "off" });
  const label = el("label", {}, el("span", { class: "quiet small" }, t("reason")), reason);
  if (!(await confirm(t("pause_title", { sink }), [el("p", {}, t("pause_text")), label], t("pause")))) return;
  await ask(`sinks/${sink}/pause`, { method: "POST", body: { reason: reason.value.trim() || null } });
  say(t("paused_done", { sink }));
}

function refusalLine(refusal) {
  const more = el("dl", { class: "facts" });
  const explain = async () => {
    if (more.childElementCount > 0) return;
    try {
      const told = await ask(`refused/${refusal.id}`);
      const facts = [
        ["detail", told.detail],
        ["today", told.today.detail],
        ["key", told.today.key],
        ["resembles", told.today.resembles],
        ["off_by", told.today.off_by_seconds === null ? null : t("seconds", { n: told.today.off_by_seconds })],
        ["source", refusal.source],
        ["bytes", count(told.bytes)],
      ];
      more.replaceChildren(...factsOf(facts));
    } catch (error) {
      say(error.message, true);
    }
  };
  const line = el(
    "li",
    { "data-key": `refusal.${refusal.id}` },
    el(
      "details",
      { ontoggle: explain },
      el(
        "summary",
        { "data-row": true },
        moment(refusal.received_at),
        el("span", {}, value(refusal.address, { most: 60, rest: false })),
        el("span", { class: "warn" }, t(`c_${refusal.cause}`)),
      ),
      more,
    ),
  );
  line.whole = refusal.id;
  return line;
}

function factsOf(facts) {
  return facts.filter(([, told]) => told !== null && told !== undefined && told !== "").flatMap(([word, told]) => [
    el("dt", {}, t(word)),
    el("dd", {}, typeof told === "string" ? value(told) : told),
  ]);
}

// ---------------------------------------------------------------------------------------------------------------------
// Events.

const MOST_ROWS = 500;
const FIELDS = ["type", "status", "video", "job", "source", "state", "since", "until"];

// A delivery that was settled, in a list of events; says whether one of them is meant.
function settle(events, { event_id: id, sink, state: became }) {
  const event = events.find((event) => event.id === id);
  const delivery = event?.deliveries.find((delivery) => delivery.sink === sink);
  if (!delivery) return false;
  delivery.state = became;
  const has = (state) => event.deliveries.some((delivery) => delivery.state === state);
  event.state = has("dead_letter") ? "dead" : has("waiting") || has("retry") ? "pending" : "delivered";
  return true;
}

function row(event, isPlain = false) {
  const id = event.video_id ?? event.media_id ?? event.job_id;
  const to = event.deliveries.map(({ sink, state }) => {
    const [kind, word] = DELIVERIES[state] ?? ["none", state];
    return el("span", { title: t(word) }, dot(kind), sink, el("span", { class: "hidden-text" }, t(word)));
  });
  return el(
    "li",
    { "data-id": event.id },
    el(
      "a",
      { class: "row", href: `#/events/${event.id}`, "data-row": true, "data-key": event.id },
      !isPlain && thumb(event),
      el(
        "span",
        { class: "what" },
        el("span", { class: "cut name" }, event.event_type === null ? t("unreadable") : value(event.event_type, { most: 60, rest: false })),
        el("span", { class: "cut quiet small" }, moment(event.received_at), " · ", event.sources.map((source) => source.split(".")[1]).join(", ")),
      ),
      el(
        "span",
        { class: "ids" },
        el("span", { class: "cut" }, value(id ?? event.id, { most: 80, rest: false, mono: true })),
        el(
          "span",
          { class: "cut quiet small" },
          event.unreadable !== null ? value(event.unreadable, { most: 90, rest: false }) : event.status !== null && status(event.status),
          event.doubts > 0 && ` · ${t("doubts")} ${event.doubts}`,
        ),
      ),
      !isPlain && el("span", { class: "to" }, to.length ? to : t("no_sink")),
      state(STATES[event.state]),
    ),
  );
}

const status = (word) => (word === "success" || word === "fail" ? t(word) : value(word, { most: 40, rest: false }));

// What was looked at last, to come back to.
let lastList = null;

function eventsView(asked) {
  const aborting = new AbortController();
  const list = el("ol", { class: "rows" });
  const more = el("div", { class: "more" });
  let events = [];
  let next = null;
  let pages = 0;

  const filter = Object.fromEntries([...asked].filter(([name, given]) => (FIELDS.includes(name) || name.startsWith("label.")) && given));
  const isFiltered = Object.keys(filter).length > 0;
  const page = (after) => ask(`events${query([...Object.entries(filter), ["limit", 50], ["after", after]])}`, { signal: aborting.signal });
  const lately = slowly(refresh, 2_000);

  const remembered = lastList?.asked === asked.toString() ? lastList : null;
  if (remembered) {
    ({ events, next, pages } = remembered);
    queueMicrotask(() => {
      show();
      remember(remembered);
      refresh();
    });
  } else {
    list.append(el("li", { class: "empty" }, t("loading")));
    load(false);
  }

  function remember({ focus, scroll }) {
    scrollTo(0, scroll);
    list.querySelector(`[data-key="${focus}"]`)?.focus({ preventScroll: true });
  }

  // By a state nobody can say whether one that is new is meant; the list says so.
  const heard = () => (filter.state === undefined ? events : []);

  // A search ends after a while where little is meant, and goes on from there.
  async function load(isMore) {
    draw(more, isMore && el("span", { class: "quiet" }, t("loading")));
    try {
      let after = isMore ? next : null;
      const asked = performance.now();
      const found = [];
      for (let tries = 0; tries < 20; tries += 1) {
        const { events: some, next: following } = await page(after);
        found.push(...some);
        after = following;
        if (after === null || found.length >= 25) break;
      }
      events = isMore ? [...events, ...found] : freshen(found, heard(), asked);
      next = after;
      pages = isMore ? pages + 1 : 1;
      show();
    } catch (error) {
      failed(error);
    }
  }

  function failed(error) {
    if (error.name === "AbortError" || error.status === 401) return;
    const retry = el("button", { type: "button", "data-key": "again", onclick: () => load(false) }, t("again"));
    draw(list, el("li", { class: "empty bad" }, el("p", {}, value(error.message)), retry));
  }

  function show() {
    const word = next !== null ? "looked" : isFiltered ? "no_match" : "no_events";
    draw(list, events.length ? events.map((event) => row(event)) : el("li", { class: "empty" }, t(word)));
    const goOn = () => el("button", { type: "button", "data-key": "more", onclick: () => load(true) }, t(events.length ? "older" : "further"));
    draw(more, next !== null && goOn());
  }

  // The first page anew, which is all that a filter by state can go by.
  async function refresh() {
    try {
      const asked = performance.now();
      const { events: listed, next: following } = await page(null);
      const some = freshen(listed, heard(), asked);
      const known = new Set(some.map((event) => event.id));
      const last = some.at(-1)?.seq ?? 0;
      const isFirst = pages <= 1 || following === null;
      events = isFirst ? some : [...some, ...events.filter((event) => !known.has(event.id) && event.seq < last)];
      if (isFirst && (events.length > 0 || following === null)) next = following;
      show();
    } catch (error) {
      if (events.length === 0) failed(error);
    }
  }

  // Under load many come at once, so they are drawn together, and no more are kept than somebody reads.
  const arrivals = [];
  const changed = new Set();
  const soon = slowly(() => {
    const known = new Set(events.map((event) => event.id));
    const added = arrivals.splice(0).filter((event) => !known.has(event.id)).reverse();
    events = [...added, ...events];
    if (added.length > 0 && events.length > MOST_ROWS) {
      events.length = MOST_ROWS;
      next = events.at(-1).seq;
    }
    if (added.length > 30) show();
    else {
      if (added.length > 0) list.querySelector(":scope > .empty")?.remove();
      const rows = added.map((event) => row(event));
      rows.forEach((one) => one.classList.add("fresh"));
      list.prepend(...rows);
      while (events.length > 0 && list.childElementCount > events.length) list.lastElementChild.remove();
      for (const id of changed) redraw(id);
    }
    changed.clear();
  }, 300);

  function redraw(id) {
    const place = list.querySelector(`:scope > [data-id="${id}"]`);
    const event = events.find((event) => event.id === id);
    if (place && event) draw(place, ...row(event).childNodes);
  }

  function takes(event) {
    const is = (name, given) => filter[name] === undefined || filter[name] === given;
    const labels = Object.entries(filter).filter(([name]) => name.startsWith("label."));
    return (
      is("type", event.event_type) && is("status", event.status) && is("video", event.video_id) && is("job", event.job_id) &&
      is("source", event.sources[0]) && labels.every(([name, given]) => event.labels[name.slice(6)] === given) &&
      (filter.since === undefined || event.received_at >= filter.since) && (filter.until === undefined || event.received_at < filter.until)
    );
  }

  return {
    title: t("events"),
    node: [el("div", { class: "title" }, el("h1", {}, t("events"))), filtersOf(filter), list, more],
    happened(kind, data) {
      if (filter.state !== undefined) {
        if (kind === "settled" || (kind === "accepted" && takes(data))) lately();
        return;
      }
      if (kind === "accepted" && takes(data)) arrivals.push(data);
      else if (kind === "settled" && settle([...arrivals, ...events], data)) changed.add(data.event_id);
      else return;
      soon();
    },
    refresh,
    close() {
      aborting.abort();
      const focus = list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
      lastList = { asked: asked.toString(), events, next, pages, focus: focus ?? opened, scroll: scrollY };
    },
  };
}

// `name:value` words, and one that stands alone: an event's id, or else that of a video or a job.
async function search(text, filter) {
  const words = text.trim().split(/\s+/).filter(Boolean);
  for (const word of words) {
    const at = word.indexOf(":");
    const name = word.slice(0, at);
    if (at > 0 && (FIELDS.includes(name) || /^label\.[^=]+$/.test(name))) filter[name] = word.slice(at + 1);
    else if (EVENT_ID.test(word)) return `#/events/${word}`;
    else {
      delete filter.video;
      delete filter.job;
      const isVideo = await has({ video: word });
      filter[isVideo || !(await has({ job: word })) ? "video" : "job"] = word;
    }
  }
  return `#/events${query(Object.entries(filter))}`;
}

async function has(filter) {
  const { events, next } = await ask(`events${query([...Object.entries(filter), ["limit", 1]])}`);
  return events.length > 0 || next !== null;
}

function filtersOf(filter) {
  const go = (name, given) => {
    const changed = { ...filter, [name]: given };
    location.hash = `#/events${query(Object.entries(changed))}`;
  };
  const field = (name, control) => el("label", { class: control.type === "datetime-local" && "time-field" }, t(name), control);
  const choice = (name, given) => {
    const shown = given.map(([word, text]) => el("option", { value: word, selected: filter[name] === word }, text));
    return el("select", { name, onchange: (event) => go(name, event.target.value) }, el("option", { value: "" }, t("any")), shown);
  };
  const input = (name, kind = "text", props = {}) =>
    el("input", { name, type: kind, autocomplete: "off", spellcheck: "false", value: filter[name] ?? "", ...props, onchange: (event) => go(name, event.target.value.trim()) });
  const time = (name) =>
    input(name, "datetime-local", {
      value: filter[name] ? ownTime(filter[name]) : "",
      onchange: (event) => go(name, event.target.value && new Date(event.target.value).toISOString()),
    });
  const label = Object.keys(filter).find((name) => name.startsWith("label."));
  const labelled = el("input", {
    name: "label", type: "text", autocomplete: "off", spellcheck: "false", placeholder: t("label_hint"),
    value: label ? `${label.slice(6)}=${filter[label]}` : "",
    onchange: (event) => {
      if (label) delete filter[label];
      const [name, ...rest] = event.target.value.trim().split("=");
      go(name ? `label.${name}` : "label.", name ? rest.join("=") : "");
    },
  });
  const alone = el("input", { type: "search", name: "search", id: "search", placeholder: t("search_hint"), autocomplete: "off", spellcheck: "false", value: filter.video ?? filter.job ?? "" });
  const find = async (event) => {
    event.preventDefault();
    // The other fields have been heeded when they changed.
    if (document.activeElement !== alone) return;
    const asked = { ...filter };
    if (!alone.value.trim()) {
      delete asked.video;
      delete asked.job;
    }
    try {
      location.hash = await search(alone.value, asked);
    } catch (error) {
      say(error.message, true);
    }
  };
  return el(
    "form",
    { class: "filters", role: "search", onsubmit: find },
    el("label", { class: "wide" }, el("span", { class: "hidden-text" }, t("search")), alone),
    // Without one, a form of several fields takes no Enter.
    el("button", { class: "hidden-text", tabindex: -1 }, t("search")),
    extra(
      filter,
      field("state", choice("state", Object.entries(STATES).map(([word, [, key]]) => [word, t(key)]))),
      field("status", choice("status", [["success", t("success")], ["fail", t("fail")]])),
      field("type", input("type", "text", { placeholder: t("any") })),
      field("source", input("source", "text", { placeholder: t("any") })),
      field("label", labelled),
      field("since", time("since")),
      field("until", time("until")),
      Object.keys(filter).length > 0 && el("a", { class: "button", href: "#/events" }, t("clear")),
    ),
  );
}

// Where there is little room they are folded up, unless one is set.
function extra(filter, ...fields) {
  const isOpen = innerWidth > 720 || Object.keys(filter).length > 0;
  return el("details", { open: isOpen }, el("summary", {}, t("filters")), el("div", { class: "fields" }, fields));
}

// As an input of the browser wants it: local, to the minute.
function ownTime(iso) {
  const at = new Date(iso);
  return Number.isNaN(at.getTime()) ? "" : new Date(at - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

// ---------------------------------------------------------------------------------------------------------------------
// One event's story.

function storyView(id) {
  const aborting = new AbortController();
  const signal = aborting.signal;
  const urls = [];
  const main = el("div", {}, el("p", { class: "empty" }, t("loading")));
  const body = rawBody(id, signal);
  const shown = el("section", { class: "card", hidden: true }, el("h2", {}, t("images")));
  let drawn = null;

  async function load() {
    try {
      const event = await ask(`events/${id}`, { signal });
      const text = JSON.stringify(event);
      if (text === drawn) return;
      drawn = text;
      keepingFocus(main, () => main.replaceChildren(...storyOf(event, { shown, body, changed: load })));
      if (event.deliveries.some(({ sink, state }) => state === "delivered" && archives.includes(sink))) loadImages();
    } catch (error) {
      if (error.name === "AbortError" || error.status === 401) return;
      const isGone = error.status === 404 || error.status === 400;
      if (drawn === null) main.replaceChildren(el("p", { class: "empty" }, isGone ? t("gone") : value(error.message)));
      else say(error.message, true);
    }
  }

  let isLoaded = false;
  async function loadImages() {
    if (isLoaded) return;
    isLoaded = true;
    try {
      const { archives: all } = await ask(`events/${id}/images`, { signal });
      const parts = [];
      for (const { sink, images, error } of all) {
        if (error !== null) parts.push(el("p", { class: "bad small" }, `${sink}: `, value(error)));
        for (const [place, found] of images.entries()) parts.push(await picture(sink, place, found));
      }
      shown.replaceChildren(el("h2", {}, t("images")), el("div", { class: "pictures" }, parts));
      shown.hidden = parts.length === 0;
    } catch (error) {
      isLoaded = false;
      if (error.name !== "AbortError") say(error.message, true);
    }
  }

  async function picture(sink, place, found) {
    const n = place + 1;
    if (found.state !== "kept") {
      const why = found.reason === null ? "" : [" – ", value(found.reason)];
      return el("p", { class: "small quiet" }, sentence("image_not", { n, state: value(found.state, { most: 40 }) }), why);
    }
    const doubts = found.doubts.map(([field, what]) => el("p", { class: "warn small" }, value(field), ": ", value(what)));
    const caption = el("figcaption", { class: "quiet small" }, t("image_at", { bytes: size(found.bytes ?? 0), sink }), doubts);
    try {
      const blob = await image(id, place, signal);
      const url = URL.createObjectURL(blob);
      urls.push(url);
      const moving = el("img", { src: url, alt: t("image_alt", { n }) });
      if (!matchMedia("(prefers-reduced-motion: reduce)").matches) return el("figure", {}, moving, caption);
      const standing = await still(blob, 320);
      const play = el("button", { type: "button", class: "slight", onclick: () => (standing.replaceWith(moving), play.remove()) }, t("play"));
      return el("figure", {}, standing, play, caption);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      return el("figure", {}, el("p", { class: "bad small" }, value(error.message)), caption);
    }
  }

  const lately = slowly(load, 500);
  // What is due next comes without an event of its own.
  const timer = setInterval(() => document.hidden || load(), 10_000);
  load();
  return {
    title: id,
    node: [main],
    happened: (kind, data) => (kind === "attempt" || kind === "settled") && data.event_id === id && lately(),
    refresh: load,
    close() {
      clearInterval(timer);
      aborting.abort();
      urls.forEach((url) => URL.revokeObjectURL(url));
    },
  };
}

function storyOf(event, { shown, body, changed }) {
  const read = event.event;
  const title = read?.event_type ?? t("unreadable");
  const dead = event.deliveries.some((delivery) => delivery.state === "dead_letter");
  const replay = (what) => async () => {
    const done = await ask("replay", { method: "POST", body: { what, filter: { events: [event.id] } } });
    sayReplayed(done);
    changed();
  };
  const button = (word, what) => el("button", { type: "button", "data-key": what, onclick: (press) => act(press.currentTarget, replay(what)) }, t(word));
  return [
    el(
      "div",
      { class: "title" },
      el("div", {}, el("h1", {}, value(title, { most: 120 })), el("p", { class: "quiet small" }, value(event.id, { mono: true }))),
      state(STATES[event.state]),
      event.state === "unrouted" ? button("replay_unrouted", "unrouted") : dead && button("replay_event", "events"),
      el("a", { class: "button", href: "#/events", onclick: goBack }, t("back")),
    ),
    !event.is_intact && el("p", { class: "card problem" }, t("damaged")),
    el(
      "div",
      { class: "story" },
      el(
        "div",
        {},
        el("section", { class: "card" }, el("h2", {}, t("story")), el("ol", { class: "time" }, timeline(event))),
        body,
      ),
      el(
        "div",
        {},
        shown,
        el("section", { class: "card" }, el("h2", {}, t("facts")), el("dl", { class: "facts" }, factsOf(saysOf(event)))),
        read?.doubts.length > 0 &&
          el(
            "section",
            { class: "card" },
            el("h2", {}, t("doubts")),
            el("ul", { class: "doubts" }, read.doubts.map(({ field, what }) => el("li", {}, el("span", { class: "warn" }, value(field)), " – ", value(what)))),
          ),
        event.routing?.length > 0 &&
          el(
            "section",
            { class: "card" },
            el("h2", {}, t("routing")),
            el(
              "dl",
              { class: "facts" },
              event.routing.flatMap(({ sink, takes, why }) => [
                el("dt", {}, sink),
                el("dd", {}, el("span", { class: takes ? "good" : "none" }, t(takes ? "takes" : "takes_not")), el("span", { class: "note" }, value(why))),
              ]),
            ),
          ),
      ),
    ),
  ].filter(Boolean);
}

function saysOf(event) {
  const read = event.event;
  // Others of the same video, or job.
  const found = (name, id) => id && (id.length > 200 ? value(id, { mono: true }) : el("a", { href: `#/events${query([[name, id]])}` }, value(id, { mono: true })));
  const labels = Object.entries(event.labels).map(([name, given]) => el("span", {}, value(name), "=", value(given), " "));
  return [
    ["status", read?.status && status(read.status)],
    ["video", found("video", read?.video_id)],
    ["media", read?.media_id && value(read.media_id, { mono: true })],
    ["job", found("job", read?.job_id)],
    ["happened", read?.event_time && moment(read.event_time)],
    ["error", read?.error && el("span", { class: "bad" }, [read.error.code, read.error.message].filter(Boolean).map((text) => [value(text), " "]))],
    ["extend", read?.extend && value(read.extend, { mono: true })],
    ["unreadable", event.unreadable],
    ["source", event.source],
    ["labels", labels.length > 0 && el("span", {}, labels)],
    ["bytes", count(event.bytes)],
    ["sha256", value(event.sha256, { mono: true })],
  ].map(([word, told]) => [word, told || null]);
}

// Everything that is known of it, in the order of time; what is yet to come stands last.
function timeline(event) {
  const steps = [];
  const add = (at, kind, title, ...notes) => steps.push({ at, kind, title, notes: notes.flat().filter(Boolean) });
  if (event.event?.event_time) add(event.event.event_time, "none", t("t_happened"));
  add(event.received_at, "good", t("t_received", { source: event.source }), t("t_received_note"));
  for (const { source, first_at, count: times } of event.repeats) {
    add(first_at, "none", t("t_repeat", { source }), t("t_repeat_note", { n: count(times) }));
  }
  if (event.unreadable !== null) add(event.received_at, "odd", t("t_unreadable"), value(event.unreadable));
  if (event.state === "unrouted") add(event.received_at, "none", t("t_unrouted"), t("t_unrouted_note"));
  event.deliveries.forEach((delivery) => deliverySteps(delivery, add));
  const isComing = (step) => step.at === null || Date.parse(step.at) > relayNow();
  const order = (step) => (step.at === null ? Number.MAX_VALUE : Date.parse(step.at));
  return steps
    .sort((one, other) => order(one) - order(other))
    .map((step) =>
      el(
        "li",
        { class: isComing(step) ? `${step.kind} coming` : step.kind },
        el("div", { class: "step" }, el("span", {}, step.title), step.at && el("span", { class: "at" }, exactly(step.at), isComing(step) && ` · ${t("in_time", { n: span(Math.max(0, Date.parse(step.at) - relayNow())) })}`)),
        step.notes.map((note) => el("p", {}, note)),
      ),
    );
}

function deliverySteps(delivery, add) {
  const { sink } = delivery;
  const answer = (status, took) => [status !== null && t("status_n", { n: status }), took !== null && t("took", { n: span(took) })].filter(Boolean).join(", ");
  for (const attempt of delivery.failed_attempts) {
    add(attempt.started_at, "warn", t("t_attempt", { sink, n: attempt.number }), answer(attempt.status, attempt.took_ms), attempt.note && value(attempt.note));
  }
  const counted = [
    answer(delivery.status, delivery.took_ms),
    delivery.attempts > 1 && t("attempt_n", { n: delivery.attempts }),
    delivery.replays > 0 && t("replay_n", { n: delivery.replays }),
  ].filter(Boolean).join(", ");
  const ended = delivery.settled_at ?? delivery.last_attempt_at;
  if (delivery.state === "delivered") add(ended, "good", t(archives.includes(sink) ? "t_archived" : "t_delivered", { sink }), counted);
  else if (delivery.state === "dead_letter") {
    // What the last attempt said stands there already.
    const isSaid = delivery.failed_attempts.some((attempt) => attempt.note === delivery.reason);
    add(ended, "bad", t("t_dead", { sink }), !isSaid && delivery.reason && value(delivery.reason));
  } else if (delivery.state === "purged") add(ended, "none", t("t_purged", { sink }), delivery.reason && value(delivery.reason));
  else if (delivery.next_attempt_at && delivery.attempts > 0) add(delivery.next_attempt_at, "wait", t("t_next", { sink }), delivery.replays > 0 && t("replay_n", { n: delivery.replays }));
  else add(null, "wait", t("t_waits", { sink }), delivery.replays > 0 && t("replay_n", { n: delivery.replays }));
}

// As text, a part of it first; what is no UTF-8 shows as such.
function rawBody(id, signal) {
  const first = 16_384;
  const place = el("div", {});
  const bytes = () => ask(`events/${id}/body`, { signal, as: "arrayBuffer" });
  const show = async () => {
    const text = new TextDecoder().decode(await bytes());
    const part = el("pre", { dir: "ltr", tabindex: 0 }, pieces(text.slice(0, first), true));
    const rest = text.length > first && el("button", { type: "button", class: "slight", onclick: () => (part.replaceChildren(...pieces(text, true)), rest.remove()) }, t("raw_rest", { n: count(text.length) }));
    place.replaceChildren(...[part, rest].filter(Boolean));
    showing.remove();
  };
  const save = async () => {
    const url = URL.createObjectURL(new Blob([await bytes()], { type: "application/octet-stream" }));
    el("a", { href: url, download: `${id}.json` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  };
  const button = (word, doing) => el("button", { type: "button", class: "slight", onclick: (event) => act(event.currentTarget, doing) }, t(word));
  const showing = button("raw_show", show);
  return el(
    "section",
    { class: "card raw" },
    el("div", { class: "head" }, el("h2", {}, t("raw")), el("div", { class: "actions" }, showing, button("raw_save", save))),
    place,
  );
}

// ---------------------------------------------------------------------------------------------------------------------
// Dead letters, and what is replayed.

const LETTER_FIELDS = ["sink", "event_type", "reason", "since", "until"];

function lettersView(asked) {
  const aborting = new AbortController();
  const signal = aborting.signal;
  const filter = Object.fromEntries([...asked].filter(([name, given]) => LETTER_FIELDS.includes(name) && given));
  const list = el("ol", { class: "rows" });
  const more = el("div", { class: "more" });
  const jobs = el("section", { class: "card jobs", hidden: true });
  const selection = el("div", { class: "card selection", hidden: true });
  const all = el("button", { class: "main", type: "button", disabled: true, onclick: (event) => act(event.currentTarget, replayAll) }, t("replay_all"));
  const purge = el("button", { type: "button", disabled: true, "data-key": "purge.all", onclick: (event) => act(event.currentTarget, purgeAll) }, t("purge_all"));
  const chosen = new Map();
  let letters = [];
  let next = null;
  let timer = null;

  const ask_page = (after, limit) => ask(`dead-letters${query([...Object.entries(filter), ["limit", limit], ["after", after]])}`, { signal });

  async function load(isMore = false) {
    try {
      // As many as there were, so that a look at the list does not shorten it.
      const page = await ask_page(isMore ? next : null, isMore ? 50 : Math.min(1_000, Math.max(50, letters.length)));
      letters = isMore ? [...letters, ...page.dead_letters] : page.dead_letters;
      next = page.next;
      show();
    } catch (error) {
      if (error.name === "AbortError" || error.status === 401) return;
      draw(list, el("li", { class: "empty bad" }, value(error.message)));
    }
  }

  function show() {
    const known = new Set(letters.map((letter) => letter.place));
    for (const place of chosen.keys()) if (!known.has(place)) chosen.delete(place);
    const word = Object.keys(filter).length ? "no_letter_match" : "no_letters";
    draw(list, letters.length ? letters.map(letterRow) : el("li", { class: "empty" }, t(word)));
    draw(more, next !== null && el("button", { type: "button", "data-key": "more", onclick: () => load(true) }, t("older")));
    all.disabled = purge.disabled = letters.length === 0;
    showSelection();
  }

  function letterRow(letter) {
    const id = letter.event_id;
    const choose = (event) => {
      if (event.target.checked) chosen.set(letter.place, letter);
      else chosen.delete(letter.place);
      showSelection();
    };
    const replay = (event) => act(event.currentTarget, () => replayThese([letter]));
    return el(
      "li",
      { class: "letter", tabindex: 0, "data-row": true, "data-key": `letter.${letter.place}`, "data-href": `#/events/${id}` },
      el("input", { type: "checkbox", checked: chosen.has(letter.place), onchange: choose, "aria-label": t("choose", { id }), "data-key": `choose.${letter.place}` }),
      el(
        "span",
        { class: "who" },
        el("span", { class: "cut name" }, letter.sink ?? t("no_sink")),
        el("span", { class: "cut quiet small" }, moment(letter.given_up_at)),
      ),
      el(
        "span",
        { class: "ids" },
        el("a", { class: "cut", href: `#/events/${id}`, tabindex: -1 }, value(letter.video_id ?? id, { most: 80, rest: false, mono: true })),
        el("span", { class: "cut quiet small" }, letter.event_type === null ? t("unreadable") : value(letter.event_type, { most: 60, rest: false })),
      ),
      el(
        "span",
        { class: "why" },
        el("span", { class: "clamp" }, value(letter.reason, { most: 300, rest: false })),
        el("span", { class: "note" }, t("attempts_n", { n: count(letter.attempts) }), letter.replays > 0 && ` · ${t("replay_n", { n: letter.replays })}`),
      ),
      el("span", { class: "actions" }, el("button", { type: "button", class: "slight", onclick: replay, "data-key": `replay.${letter.place}` }, t("replay"))),
    );
  }

  function showSelection() {
    selection.hidden = chosen.size === 0;
    const none = () => (chosen.clear(), show());
    const these = () => replayThese([...chosen.values()]);
    const seenTo = () => purgeThese([...chosen.values()]);
    draw(
      selection,
      el("span", { role: "status" }, t("chosen", { n: count(chosen.size) })),
      el("button", { type: "button", "data-key": "choose.none", onclick: none }, t("choose_none")),
      el("button", { type: "button", "data-key": "purge.chosen", onclick: (event) => act(event.currentTarget, seenTo) }, t("purge_chosen")),
      el("button", { type: "button", class: "main", "data-key": "replay.chosen", onclick: (event) => act(event.currentTarget, these) }, t("replay_chosen")),
    );
  }

  // A filter names events and a sink, so those of each sink go together; no others of the same events go with them.
  function filtersOfThese(these) {
    const filters = [];
    for (const [sink, some] of Map.groupBy(these, (letter) => letter.sink)) {
      for (let from = 0; from < some.length; from += 400) {
        const events = [...new Set(some.slice(from, from + 400).map((letter) => letter.event_id))];
        filters.push(sink === null ? { events } : { events, sink });
      }
    }
    return filters;
  }

  async function replayThese(these) {
    const done = { again: 0, added: 0, read: 0, left: {} };
    for (const some of filtersOfThese(these)) {
      const what = some.sink === undefined ? "unreadable" : "dead_letters";
      await inSteps("replay", { what, filter: some }, (step) => {
        for (const name of ["again", "added", "read"]) done[name] += step[name];
        for (const [why, times] of Object.entries(step.left)) done.left[why] = (done.left[why] ?? 0) + times;
      });
    }
    these.forEach((letter) => chosen.delete(letter.place));
    sayReplayed(done);
    await load();
  }

  async function purgeThese(these) {
    const title = t("purge_chosen_title", { n: count(these.length) });
    if (!(await confirm(title, el("p", {}, t("purge_text")), t("purge_chosen")))) return;
    await purgeBy(filtersOfThese(these));
    these.forEach((letter) => chosen.delete(letter.place));
  }

  // What is given up while somebody thinks about it is not meant.
  async function purgeAll() {
    const now = new Date(relayNow()).toISOString();
    const until = filter.until && Date.parse(filter.until) < Date.parse(now) ? filter.until : now;
    const facts = el("dl", { class: "facts" }, filterFacts({ ...filter, until }));
    if (!(await confirm(t("purge_all_title"), [el("p", {}, t("purge_text")), facts], t("purge_all")))) return;
    await purgeBy([{ ...filter, until }]);
  }

  // However far it came before something went wrong, the list shows what is left.
  async function purgeBy(filters) {
    let purged = 0;
    try {
      for (const some of filters) await inSteps("dead-letters/purge", { filter: some }, (step) => (purged += step.purged));
      say(t("purged_n", { n: count(purged) }), purged === 0);
    } finally {
      await load();
    }
  }

  async function inSteps(path, request, taken) {
    for (let after = null, isFirst = true; isFirst || after !== null; isFirst = false) {
      const step = await ask(path, { method: "POST", body: { ...request, after } });
      taken(step);
      after = step.next;
    }
  }

  function filterFacts(given) {
    return factsOf(Object.entries(given).map(([name, word]) => [name === "event_type" ? "type" : name, word]));
  }

  async function replayAll() {
    const facts = Object.keys(filter).length > 0 && el("dl", { class: "facts" }, filterFacts(filter));
    if (!(await confirm(t("replay_all_title"), [el("p", {}, t("replay_all_text")), facts], t("replay_all")))) return;
    await ask("replays", { method: "POST", body: { what: "dead_letters", filter } });
    await showJobs();
  }

  // Those at work, and the last few that ended a moment ago.
  async function showJobs() {
    clearTimeout(timer);
    const { replays } = await ask("replays?limit=10", { signal });
    const isFresh = (job) => job.state === "running" || relayNow() - Date.parse(job.ended_at) < 600_000;
    const shown = replays.filter((job) => isFresh(job) && !job.request.dry_run).slice(0, 4);
    jobs.hidden = shown.length === 0;
    draw(jobs, el("h2", {}, t("replays")), shown.map(jobOf));
    const isAtWork = shown.some((job) => job.state === "running");
    if (isAtWork || wasAtWork) load();
    wasAtWork = isAtWork;
    if (isAtWork) timer = setTimeout(() => showJobs().catch(() => {}), 1_000);
  }
  let wasAtWork = false;

  function jobOf(job) {
    const isAtWork = job.state === "running";
    const filter = Object.entries(job.request.filter).filter(([, given]) => given !== null && given.length !== 0);
    const words = { running: "wait", done: "good", cancelled: "none", failed: "bad", interrupted: "warn" };
    const end = async () => {
      await ask(`replays/${job.id}`, { method: "DELETE" });
      await showJobs();
    };
    return el(
      "div",
      { class: "job" },
      el(
        "div",
        {},
        state([words[job.state], `j_${job.state}`]),
        el("span", { class: "quiet small number" }, " ", t("j_progress", { n: count(job.again + job.added + job.read), m: count(job.looked_at) })),
        el("span", { class: "note" }, moment(job.asked_at), filter.map(([name, given]) => [" · ", name, ": ", value(Array.isArray(given) ? given.length : given, { most: 60, rest: false })])),
        job.error && el("span", { class: "note bad" }, value(job.error)),
      ),
      isAtWork && el("button", { type: "button", class: "slight", "data-key": `end.${job.id}`, onclick: (event) => act(event.currentTarget, end) }, t("end")),
      isAtWork && el("progress", { "aria-label": t("j_running") }),
    );
  }

  load();
  showJobs().catch((error) => error.name === "AbortError" || error.status === 401 || say(error.message, true));
  const lately = slowly(load, 1_500);
  return {
    title: t("dead"),
    node: [
      el("div", { class: "title" }, el("h1", {}, t("dead")), purge, all),
      letterFilters(filter),
      jobs,
      list,
      more,
      selection,
    ],
    happened: (kind, data) => kind === "settled" && (data.state === "dead_letter" || letters.some((letter) => letter.event_id === data.event_id)) && lately(),
    refresh() {
      load();
      showJobs().catch(() => {});
    },
    close() {
      clearTimeout(timer);
      aborting.abort();
    },
  };
}

function letterFilters(filter) {
  const go = (name, given) => {
    location.hash = `#/dead${query(Object.entries({ ...filter, [name]: given }))}`;
  };
  const field = (name, word, props = {}) =>
    el(
      "label",
      { class: props.type === "datetime-local" && "time-field" },
      t(word),
      el("input", { name, type: "text", autocomplete: "off", spellcheck: "false", placeholder: t("any"), value: filter[name] ?? "", onchange: (event) => go(name, event.target.value.trim()), ...props }),
    );
  const time = (name) =>
    field(name, name, {
      type: "datetime-local",
      value: filter[name] ? ownTime(filter[name]) : "",
      onchange: (event) => go(name, event.target.value && new Date(event.target.value).toISOString()),
    });
  return el(
    "form",
    { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
    extra(
      filter,
      field("sink", "sink", { id: "search" }),
      field("event_type", "type"),
      field("reason", "reason_part"),
      time("since"),
      time("until"),
      Object.keys(filter).length > 0 && el("a", { class: "button", href: "#/dead" }, t("clear")),
    ),
  );
}

function sayReplayed({ again, added, read, left }) {
  const done = again + added + read;
  const rest = sum(Object.values(left));
  say([t("replayed", { n: count(done) }), rest > 0 && t("left_alone", { n: count(rest) })].filter(Boolean).join(" "), done === 0);
}

// ---------------------------------------------------------------------------------------------------------------------
// The frame: what is open, the keys, the token.

let view = null;
let opened = null;
let steps = 0;

// At once, and then no more often than that, the last time included.
function slowly(what, pause) {
  let isWaiting = false;
  let last = 0;
  return () => {
    if (isWaiting) return;
    isWaiting = true;
    setTimeout(() => {
      isWaiting = false;
      last = Date.now();
      what();
    }, Math.max(0, last + pause - Date.now()));
  };
}

function announce(text) {
  const said = document.getElementById("heard");
  if (said) said.textContent = text;
}

function takeNow(now) {
  archives = now.archives;
  skew = Date.parse(now.now) - Date.now();
  document.documentElement.dataset.role = now.you.role;
}

async function open() {
  view?.close();
  view = null;
  const [path, asked = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [first, id] = path.split("/");
  document.querySelectorAll("#bar nav a").forEach((link) => {
    const is = link.dataset.view === (first || "now");
    if (is) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  });
  const main = document.getElementById("main");
  if (first === "events" && id) view = storyView(id);
  else if (first === "events") view = eventsView(new URLSearchParams(asked));
  else if (first === "dead") view = lettersView(new URLSearchParams(asked));
  else view = nowView();
  const isSearched = main.contains(document.activeElement) && document.activeElement.name;
  document.title = `${view.title} · vodrelay`;
  main.replaceChildren(...view.node);
  announce(view.title);
  // Whoever types on in a filter stays in it.
  const field = isSearched && main.querySelector(`[name="${CSS.escape(isSearched)}"]`);
  if (field) field.focus();
  else main.focus({ preventScroll: true });
  if (!(first === "events" && !id && lastList?.asked === asked)) scrollTo(0, 0);
  if (id) opened = id;
}

function goBack(event) {
  if (steps === 0) return;
  event?.preventDefault();
  history.back();
}

function askForToken() {
  stream.abort?.abort();
  clearTimeout(stream.timer);
  showLive("off", t("token"));
  if (document.getElementById("token")) return;
  view?.close();
  view = null;
  const wasWrong = token !== null;
  token = null;
  kept(session, "vodrelay.token", null);
  const field = el("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true, "aria-describedby": "why" });
  const enter = (event) => {
    event.preventDefault();
    token = field.value.trim();
    kept(session, "vodrelay.token", token);
    document.getElementById("main").replaceChildren(el("p", { class: "empty" }, t("loading")));
    build();
  };
  document.getElementById("main").replaceChildren(
    el(
      "div",
      { class: "card ask" },
      el("h1", {}, t("token_title")),
      el("p", { class: "quiet", id: "why" }, t("token_text")),
      wasWrong && el("p", { class: "bad", role: "alert" }, t("token_wrong")),
      el("form", { onsubmit: enter }, el("label", {}, el("span", { class: "quiet small" }, t("token")), field), el("button", { class: "main" }, t("enter"))),
    ),
  );
  field.focus();
}

function confirm(title, content, word) {
  return new Promise((decided) => {
    const dialog = el(
      "dialog",
      { "aria-labelledby": "confirm" },
      el("h2", { id: "confirm" }, title),
      el(
        "form",
        { method: "dialog" },
        content,
        el(
          "div",
          { class: "actions" },
          el("button", { type: "button", onclick: () => dialog.close("") }, t("cancel")),
          el("button", { class: "main", type: "button", onclick: () => dialog.close("yes") }, word),
        ),
      ),
    );
    dialog.addEventListener("submit", (event) => {
      event.preventDefault();
      dialog.close("yes");
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      decided(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

function help() {
  const keys = [
    [["1", "2", "3"], "key_1"],
    [["/"], "key_search"],
    [["j", "k", "↓", "↑"], "key_move"],
    [["Enter"], "key_enter"],
    [["x"], "key_x"],
    [["Esc"], "key_esc"],
    [["?"], "key_help"],
  ];
  const close = el("button", { class: "main", type: "button", onclick: () => dialog.close() }, t("close"));
  const dialog = el(
    "dialog",
    { "aria-labelledby": "help" },
    el("h2", { id: "help" }, t("keys")),
    el("dl", { class: "keys" }, keys.flatMap(([names, word]) => [el("dt", {}, names.map((name) => [el("kbd", {}, name), " "])), el("dd", {}, t(word))])),
    el("div", { class: "actions" }, close),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

function move(step) {
  const rows = [...document.querySelectorAll("#main [data-row]")].filter((row) => row.checkVisibility());
  const here = rows.findIndex((row) => row.contains(document.activeElement));
  const row = rows[here < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, here + step))];
  row?.focus();
  row?.scrollIntoView({ block: "nearest" });
  return row !== undefined;
}

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || document.querySelector("dialog[open]")) return;
  const focus = document.activeElement;
  const isTyping = focus.matches("input:not([type=checkbox]), select, textarea");
  if (event.key === "Escape") {
    if (isTyping) focus.blur();
    else if (/^#\/events\/./.test(location.hash)) steps > 0 ? history.back() : (location.hash = "#/events");
    else document.getElementById("main").focus();
    return;
  }
  if (isTyping) return;
  const to = { 1: "#/", 2: "#/events", 3: "#/dead" }[event.key];
  const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
  const isInChart = focus.matches(".tile");
  if (to) location.hash = to;
  else if (step && !isInChart && !focus.matches("pre") && move(step)) event.preventDefault();
  else if (event.key === "/") {
    if (!document.getElementById("search")) {
      history.pushState(null, "", "#/events");
      steps += 1;
      open();
    }
    const field = document.getElementById("search");
    field?.closest("details")?.setAttribute("open", "");
    field?.focus();
  } else if (event.key === "?") help();
  else if (event.key === "x") focus.closest(".letter")?.querySelector("input").click();
  else if (event.key === "Enter" && focus.dataset.href) location.hash = focus.dataset.href;
  else return;
  event.preventDefault();
}

function bar() {
  const views = [["now", "#/"], ["events", "#/events"], ["dead", "#/dead"]];
  const themes = { auto: ["◐", "light"], light: ["☀", "dark"], dark: ["☾", "auto"] };
  const [sign, other] = themes[theme] ?? themes.auto;
  const setLanguage = () => {
    language = language === "zh" ? "en" : "zh";
    kept(local, "vodrelay.language", language);
    build();
    document.getElementById("language").focus();
  };
  const setTheme = () => {
    theme = other;
    kept(local, "vodrelay.theme", theme);
    document.documentElement.dataset.theme = theme;
    bar();
    document.getElementById("theme").focus();
  };
  const forget = () => {
    token = null;
    kept(session, "vodrelay.token", null);
    build();
  };
  const tool = (id, text, title, onclick) => el("button", { id, class: "bare", type: "button", title, "aria-label": title, onclick }, text);
  const skip = el("a", { class: "hidden-text", href: "#main", onclick: (event) => (event.preventDefault(), document.getElementById("main").focus()) }, t("skip"));
  const live = document.getElementById("live") ?? el("span", { id: "live", class: "live" }, dot(), el("span"));
  document.getElementById("bar").replaceChildren(
    skip,
    el("a", { class: "brand", href: "#/" }, el("img", { src: "icon.svg", alt: "", width: 24, height: 24 }), "vodrelay"),
    el("nav", { "aria-label": t("views") }, views.map(([word, href]) => el("a", { href, "data-view": word }, t(word)))),
    el(
      "div",
      { class: "tools" },
      live,
      token && tool("forget", "⎋", t("forget_token"), forget),
      tool("help-button", "?", t("keys_title"), help),
      tool("theme", sign, t(`theme_${theme}`), setTheme),
      tool("language", t("language"), t("language_title"), setLanguage),
    ),
    el("span", { id: "heard", class: "hidden-text", role: "status", "aria-live": "polite" }),
  );
  const first = location.hash.replace(/^#\/?/, "").split(/[/?]/)[0] || "now";
  document.querySelector(`#bar nav [data-view="${CSS.escape(first)}"]`)?.setAttribute("aria-current", "page");
}

async function build() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.documentElement.dataset.theme = theme;
  bar();
  try {
    takeNow(await ask("now"));
  } catch (error) {
    if (error.status === 401) return;
  }
  lastList = null;
  open();
  listen();
}

addEventListener("hashchange", () => {
  steps += 1;
  if (document.getElementById("token")) return;
  open();
});
addEventListener("keydown", press);
addEventListener("online", () => stream.isHidden || listen());
document.addEventListener("visibilitychange", heedVisibility);
build();

// For whoever tests it.
export { draw };
