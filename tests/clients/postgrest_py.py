"""Drives the Python client of PostgREST through a script, once direct and once through labseal, and
prints what differs as JSON. Started by main.rs:

    python postgrest_py.py DIRECT LABSEAL KEY VALUES

VALUES is a JSON object of lists: record numbers, names and notes that must be found nowhere else.
"""

import asyncio
import json
import sys

from postgrest import AsyncPostgrestClient, SyncPostgrestClient
from postgrest.exceptions import APIError
from postgrest.types import CountMethod, ReturnMethod

DIRECT, LABSEAL, KEY, VALUES = sys.argv[1:5]
values = json.loads(VALUES)
mrn, name, note = values["mrn"], values["name"], values["note"]
STEPS = []


def step(title, refused=None):
    """Registers a step; with the code of its refusal, if there is to be one."""

    def register(run):
        STEPS.append((title, run, refused))
        return run

    return register


def steps(group, cases):
    """Registers steps that differ in their last part."""
    for title, run, *refused in cases:
        step(f"{group}: {title}", *refused)(run)


def person(n, **more):
    return {
        "id": n + 1, "mrn": mrn[n], "last_name": name[n], "given": name[(n + 3) % 8],
        "e.mail": None if n == 2 else f"{name[n]}@lab.se", "notes": note[n],
        "born": f"690{n}-1{n % 3}-0{n + 1}", "score": n + 0.75, "visits": 7 * n, "vip": n == 1,
        "ward": ["A", "B"][n % 2], "bed": n, "meta": {"n": n}, "tags": ["t", f"u{n}"], **more,
    }


def patients(c):
    return c.from_("patients")


def orders(c):
    return c.from_("orders")


ORDERS = [
    {"id": n + 1, "mrn": mrn[n // 2], "code": f"C{n}", "priority": n, "remark": note[n], "amount": 2.5 * n}
    for n in range(6)
]

steps("insert", [
    ("one", lambda c: patients(c).insert(person(0))),
    ("many", lambda c: patients(c).insert([person(n) for n in range(1, 5)])),
    ("minimal", lambda c: orders(c).insert(ORDERS, returning=ReturnMethod.minimal)),
    ("count", lambda c: c.from_("contacts").insert(
        {"mrn": mrn[0], "phone": note[8]}, count=CountMethod.exact)),
    ("with defaults", lambda c: orders(c).insert(
        [{"mrn": mrn[4], "code": "D"}, {"mrn": mrn[4], "code": "E", "priority": 8}],
        default_to_null=False)),
    ("duplicate", lambda c: patients(c).insert({"mrn": mrn[0]})),
    ("nobody has that number", lambda c: orders(c).insert({"mrn": mrn[9], "code": "D"})),
    ("not of the type", lambda c: patients(c).insert({"mrn": mrn[9], "born": "soon"}), "LS420"),
    ("undeclared", lambda c: c.from_("roster").insert({"mrn": mrn[9]}), "LS204"),
])

steps("select", [
    ("all", lambda c: patients(c).select("*").order("id")),
    ("some", lambda c: patients(c).select("id", "mrn", "born", "score", "visits", "vip").order("id")),
    ("aliases", lambda c: patients(c).select("key:id", "n:last_name").order("id")),
    ("count", lambda c: patients(c).select("id", count=CountMethod.exact).order("id")),
    ("head", lambda c: patients(c).select("*", count=CountMethod.exact, head=True)),
    ("embedded", lambda c: patients(c).select("mrn", "orders(code, remark)").order("id")),
    ("embedded one", lambda c: orders(c).select("id, patients(last_name, notes)").order("id")),
    ("spread", lambda c: orders(c).select("id, ...patients(last_name)").order("id")),
    ("another cast", lambda c: patients(c).select("last_name::int"), "LS106"),
    ("single", lambda c: patients(c).select("*").eq("mrn", mrn[2]).single()),
    ("single of several", lambda c: patients(c).select("*").single()),
    ("maybe single", lambda c: patients(c).select("mrn").eq("id", 4).maybe_single()),
    ("maybe single of none", lambda c: patients(c).select("mrn").eq("id", 99).maybe_single()),
    ("csv of plain columns", lambda c: patients(c).select("id, ward").order("id").csv()),
    ("csv", lambda c: patients(c).select("id, last_name").order("id").csv()),
    ("limit", lambda c: patients(c).select("id, mrn").order("id", desc=True).limit(2)),
    ("range", lambda c: patients(c).select("id, mrn").order("id").range(1, 2)),
    ("offset", lambda c: patients(c).select("id, mrn").order("id").offset(3)),
    ("order by a name", lambda c: patients(c).select("id").order("notes"), "LS105"),
])

steps("filter", [
    ("eq", lambda c: patients(c).select("id").eq("mrn", mrn[3])),
    ("neq", lambda c: patients(c).select("id").neq("last_name", name[3]).order("id")),
    ("not eq", lambda c: patients(c).select("id").not_.eq("last_name", name[3]).order("id")),
    ("in", lambda c: patients(c).select("id").in_("mrn", [mrn[0], mrn[1], "x,y"]).order("id")),
    ("in on a name", lambda c: patients(c).select("id").in_("given", [name[4], name[5]]).order("id")),
    ("not in", lambda c: patients(c).select("id").not_.in_("given", [name[4]]).order("id")),
    # The library quotes the quotes, so the name is another one, and too near.
    ("is null", lambda c: patients(c).select("id").is_('"e.mail"', "null"), "LS113"),
    ("plain range", lambda c: patients(c).select("id").gt("bed", 1).lte("bed", 3).order("id")),
    ("plain pattern", lambda c: patients(c).select("id").ilike("ward", "a%").order("id")),
    ("contains", lambda c: patients(c).select("id").contains("tags", ["u1"])),
    ("overlaps", lambda c: patients(c).select("id").overlaps("tags", ["u1", "u2"]).order("id")),
    ("or", lambda c: patients(c).select("id").or_(f"mrn.eq.{mrn[0]},bed.eq.3").order("id")),
    ("or in an embed", lambda c: patients(c).select("id, orders(id)")
        .or_("code.eq.C1,priority.eq.2", reference_table="orders").order("id")),
    ("match", lambda c: patients(c).select("id").match({"mrn": mrn[1], "ward": "B"})),
    ("filter", lambda c: patients(c).select("id").filter("last_name", "eq", name[0])),
    ("in an embed", lambda c: patients(c).select("id, orders!inner(remark)").eq("orders.remark", note[3])),
    ("typed", lambda c: patients(c).select("id").eq("score", "2.750").eq("born", "6902-12-3")),
    ("integer", lambda c: patients(c).select("id").eq("visits", 21)),
    ("range on a name", lambda c: patients(c).select("id").gte("last_name", "A"), "LS104"),
    ("pattern on a note", lambda c: patients(c).select("id").like("notes", "%x%"), "LS104"),
    ("eq on a note", lambda c: patients(c).select("id").eq("notes", note[0]), "LS104"),
    ("undeclared", lambda c: c.from_("roster").select("id").eq("mrn", mrn[0]), "LS207"),
])

steps("write", [
    ("update", lambda c: patients(c).update({"notes": note[9], "bed": 7}).eq("mrn", mrn[0])),
    ("update several", lambda c: patients(c).update({"given": name[9]}, count=CountMethod.exact).gt("id", 3)),
    ("update minimal", lambda c: patients(c).update(
        {"vip": True}, returning=ReturnMethod.minimal).eq("id", 3)),
    ("upsert", lambda c: c.from_("contacts").upsert([
        {"mrn": mrn[0], "phone": note[1]}, {"mrn": mrn[1], "phone": note[2]}])),
    ("upsert by a column", lambda c: patients(c).upsert(
        {"mrn": mrn[1], "last_name": name[8]}, on_conflict="mrn")),
    ("upsert ignoring duplicates", lambda c: patients(c).upsert(
        {"mrn": mrn[1], "last_name": name[7]}, on_conflict="mrn", ignore_duplicates=True)),
    ("upsert by a name", lambda c: patients(c).upsert(
        {"mrn": mrn[1], "last_name": name[8]}, on_conflict="last_name"), "LS108"),
    ("delete", lambda c: orders(c).delete().eq("remark", note[5])),
    ("delete who is referred to", lambda c: patients(c).delete().eq("id", 1)),
    ("another schema", lambda c: c.schema("archive").from_("patients").insert({"id": 1, "mrn": mrn[4]})),
    ("another schema read", lambda c: c.schema("archive").from_("patients").select("*").eq("mrn", mrn[4])),
    ("call", lambda c: c.rpc("patient_count", {})),
    ("call for records", lambda c: c.rpc("of_ward", {"w": "A"})),
    ("call by get", lambda c: c.rpc("of_ward", {"w": "B"}, get=True)),
    ("call by a protected argument", lambda c: c.rpc("find_patient", {"mrn": mrn[0]})),
    ("call undeclared", lambda c: c.rpc("erase_patient", {"mrn": mrn[0]}), "LS205"),
    ("afterwards", lambda c: patients(c).select("*").order("id")),
    ("afterwards orders", lambda c: orders(c).select("*").order("id")),
])


def told(error):
    """An error, without whom else a value belongs to: labseal does not tell that."""
    details = error.details
    if isinstance(details, str) and " is still referenced" in details:
        details = "still referenced"
    return {"code": error.code, "message": error.message, "details": details, "hint": error.hint}


def outcome(run, client):
    try:
        answer = run(client).execute()
    except APIError as error:
        return {"error": told(error)}
    if answer is None:
        return {"data": None}
    return {"data": answer.data, "count": answer.count}


async def concurrently(url, headers):
    """Many reads at once over one client of the other kind."""
    async with AsyncPostgrestClient(url, schema="lab", headers=headers) as client:
        reads = [
            client.from_("patients").select("id, mrn, last_name").eq("mrn", mrn[n % 5]).execute()
            for n in range(40)
        ]
        return [answer.data for answer in await asyncio.gather(*reads)]


def main():
    # The schema is named as the library would name one, which is not `public` here.
    keyed = {"X-Api-Key": KEY}
    report = {"steps": 1, "refused": 0, "failed": 0, "differences": []}
    with SyncPostgrestClient(DIRECT, schema="lab") as direct, SyncPostgrestClient(
        LABSEAL, schema="lab", headers=keyed
    ) as labseal:
        for title, run, refused in STEPS:
            report["steps"] += 1
            got = outcome(run, labseal)
            if refused:
                report["refused"] += 1
                if got.get("error", {}).get("code") != refused:
                    report["differences"].append({"step": title, "expected": refused, "labseal": got})
                continue
            expected = outcome(run, direct)
            report["failed"] += "error" in expected
            if expected != got:
                report["differences"].append({"step": title, "direct": expected, "labseal": got})
    several = [asyncio.run(concurrently(DIRECT, {})), asyncio.run(concurrently(LABSEAL, keyed))]
    if several[0] != several[1] or len(several[0]) != 40:
        report["differences"].append({"step": "concurrently", "answers": several})
    print(json.dumps(report))


main()
