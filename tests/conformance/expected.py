"""What is expected of each unit: `expected.tsv`.

    unit     NAME  MODE  OK  SECONDS     a unit, how it is run, how many of its tests pass, how long it took; a unit that
                                         is run in both ways has a second row, NAME:external
    differs  NAME  TEST  REASON          a test of it that does not pass, and why that is so
    skips    NAME  TEST  REASON          a test of it that would not even end, or takes later ones along, and why
    slow     NAME  TEST  REASON          a test that runs with --slow only; `*` is the whole unit

Law: figures only grow and differences only vanish; whoever adds a difference gives it a reason. A test name may end in
`*` for all that begin so.
"""


def covers(pattern, name):
    return pattern == name or (pattern.endswith("*") and name.startswith(pattern[:-1]))


class Book:
    """The units and the differences."""

    def __init__(self, path, head):
        self.path, self.head, self.units, self.differences, self.skips, self.slow = path, head, {}, [], [], []

    @classmethod
    def read(cls, path):
        book = cls(path, [])
        for line in path.read_text().splitlines() if path.exists() else []:
            fields = line.split("\t")
            if fields[0] == "unit":
                book.units[fields[1]] = [fields[2], int(fields[3]), int(fields[4])]
            elif fields[0] == "differs":
                book.differences.append(tuple(fields[1:4]))
            elif fields[0] == "skips":
                book.skips.append(tuple(fields[1:4]))
            elif fields[0] == "slow":
                book.slow.append(tuple(fields[1:4]))
            else:
                book.head.append(line)
        return book

    def mode(self, unit):
        return self.units.get(unit, ["external"])[0]

    def seconds(self, unit):
        return self.units.get(unit, ["", 0, 0])[2]

    def skipped(self, unit, slow):
        """The tests of a unit that are left out; without `slow` also those that take too long for every day."""
        return [test for u, test, _ in self.skips + ([] if slow else self.slow) if u == unit]

    def is_slow(self, unit):
        """Whether all of a unit is for --slow only."""
        return any(u == unit and test == "*" for u, test, _ in self.slow)

    def named(self, unit, name):
        return any(u == unit and covers(test, name) for u, test, _ in self.differences)

    def judge(self, outcome):
        """Why a unit is not as expected."""
        faults = [f"fails: {name}" for name in outcome.failed if not self.named(outcome.unit, name)]
        wanted = self.units.get(outcome.unit, ["", 0, 0])[1]
        if len(outcome.ok) < wanted:
            faults.append(f"{len(outcome.ok)} tests pass, {wanted} did before")
        return faults

    def note(self, outcome):
        """What is better than expected."""
        more = len(outcome.ok) - self.units.get(outcome.unit, ["", 0, 0])[1]
        return f"{more} more than expected" if more > 0 else ""

    def record(self, outcome, mode):
        self.units[outcome.unit] = [mode, len(outcome.ok), round(outcome.seconds)]
        kept = [d for d in self.differences if d[0] != outcome.unit or any(covers(d[1], f) for f in outcome.failed)]
        new = [f for f in dict.fromkeys(outcome.failed) if not any(u == outcome.unit and covers(t, f) for u, t, _ in kept)]
        self.differences = kept + [(outcome.unit, name, "TO BE EXPLAINED") for name in new]

    def write(self):
        lines = list(self.head)
        for unit, (mode, ok, seconds) in sorted(self.units.items()):
            lines.append(f"unit\t{unit}\t{mode}\t{ok}\t{seconds}")
            lines += ["\t".join(("differs", *d)) for d in self.differences if d[0] == unit]
            lines += ["\t".join(("skips", *s)) for s in self.skips if s[0] == unit]
            lines += ["\t".join(("slow", *s)) for s in self.slow if s[0] == unit]
        self.path.write_text("\n".join(lines) + "\n")
