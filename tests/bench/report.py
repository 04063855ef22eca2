"""The results as a table and as JSON."""
import json, os, platform, re, subprocess


def machine(directory, turns, scale):
    with open("/proc/meminfo") as meminfo:
        memory = round(int(re.search(r"MemTotal:\s+(\d+)", meminfo.read())[1]) / 2**20)
    kind = subprocess.run(["stat", "-f", "-c", "%T", directory], stdout=subprocess.PIPE, text=True).stdout.strip()
    kind = {"ext2/ext3": "ext4"}.get(kind, kind)
    return {"cores": os.cpu_count(), "memory_gib": memory, "kernel": re.match(r"\d+\.\d+", platform.release())[0], "filesystem": kind,
            "turns": turns, "scale": scale}


def machine_text(facts):
    turns = "1 turn" if facts["turns"] == 1 else f"{facts['turns']} turns"
    size = "" if facts["scale"] == 1 else f", sizes times {facts['scale']:g}"
    over = f"; tierfs over {facts['transport']}" if facts.get("transport") else ""
    return (f"{facts['cores']} cores, {facts['memory_gib']} GiB of memory, Linux {facts['kernel']}, {facts['filesystem']}; "
            f"medians of {turns} after a warm-up{size}{over}")


def goal_of(row, workload, contenders, results):
    """(text, met) of the goal of tierfs in this row; None without a goal, or without results."""
    subject = contenders[-1].name if workload.group == "policy" else "tierfs"
    ratio = results.ratio(row.name, subject, workload.base)
    if ratio is None:
        return None
    texts, met = [], True
    if row.goal is not None:
        texts.append(f"<= {row.goal:.2f}")
        met = ratio <= row.goal
    if row.ahead:
        peers = [results.ratio(row.name, one.name, workload.base) for one in contenders if one.fuse and one.peer]
        peers = [value for value in peers if value is not None]
        if peers:
            texts.append(f"< {min(peers):.2f} (best peer)")
            met = met and ratio < min(peers)
    return (", ".join(texts), met) if texts else None


def duration(seconds):
    for unit, scale in (("s", 1), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1 or unit == "us":
            value = seconds * scale
            return f"{value:.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}" if value >= 10 else f"{value:.2f} {unit}"


def times(value):
    return "-" if value is None else f"{value:.1f}" if value >= 9.95 else f"{value:.2f}"


def layout(heads, lines):
    widths = [max(len(line[i]) for line in [heads, *lines]) for i in range(len(heads))]
    return ["  ".join(cell.ljust(width) if i == 0 or i == len(heads) - 1 else cell.rjust(width)
                      for i, (cell, width) in enumerate(zip(line, widths))).rstrip() for line in [heads, *lines]]


def sections(workloads, contenders, results):
    """(base, workloads with that base, contenders in their rows), for each base that was measured."""
    for base in dict.fromkeys(workload.base for workload in workloads):
        mine = [workload for workload in workloads if workload.base == base]
        yield base, mine, [one for one in contenders if any(workload.takes(one) for workload in mine)]


def table(workloads, contenders, results, facts):
    out = [machine_text(facts)]
    failures = []
    for base, mine, columns in sections(workloads, contenders, results):
        label = next(one.label for one in columns if one.name == base)
        others = [one for one in columns if one.name != base]
        out += ["", f"Time as a multiple of {label}'s (less is better)", ""]
        lines, used = [], []
        for workload in mine:
            for row in workload.rows:
                reference = results.seconds(row.name, base)
                goal = goal_of(row, workload, columns, results)
                lines.append([row.title, "-" if reference is None else duration(reference)] +
                             [times(results.ratio(row.name, one.name, base)) for one in others] +
                             ["" if goal is None else f"{'met' if goal[1] else 'MISSED'}: {goal[0]}"])
                used.append([row.title] + [cpu(results.cpu_per_operation(row.name, one.name)) for one in others if one.fuse] + [""])
                failures += [f"{row.title}: {one}: {reason}" for one, reason in results.failures.get(row.name, {}).items()]
        out += layout(["", label] + [one.label for one in others] + ["goal"], lines)
        out += ["", "CPU time of the daemon, microseconds an operation", ""]
        out += layout([""] + [one.label for one in others if one.fuse] + [""], used)
    for row, said in results.facts.items():
        out += [""] + [f"{row}: {one}: {fact}" for one, fact in said.items()]
    if failures:
        out += ["", "Failed:"] + failures
    return "\n".join(out) + "\n"


def cpu(seconds):
    return "-" if seconds is None else f"{seconds * 1e6:.1f}"


def document(workloads, contenders, results, facts):
    rows = []
    for _, mine, columns in sections(workloads, contenders, results):
        for workload in mine:
            for row in workload.rows:
                goal = goal_of(row, workload, columns, results)
                measured = {}
                for one in columns:
                    if not workload.takes(one):
                        continue
                    samples = results.samples.get(row.name, {}).get(one.name, [])
                    cpu_used = results.cpu_per_operation(row.name, one.name)
                    measured[one.name] = {
                        "seconds": results.seconds(row.name, one.name),
                        "ratio": results.ratio(row.name, one.name, workload.base),
                        "cpu_us_per_operation": None if cpu_used is None else round(cpu_used * 1e6, 3),
                        "operations": samples[0].operations if samples else None,
                        "turns": [round(sample.seconds, 6) for sample in samples],
                        "failure": results.failures.get(row.name, {}).get(one.name),
                        "fact": results.facts.get(row.name, {}).get(one.name),
                    }
                rows.append({"row": row.name, "title": row.title, "workload": workload.name, "base": workload.base,
                             "goal": None if goal is None else {"text": goal[0], "met": goal[1]}, "contenders": measured})
    names = [{"name": one.name, "label": one.label, "about": one.about} for one in contenders]
    return json.dumps({"machine": facts, "contenders": names, "rows": rows}, indent=1) + "\n"
