// Drives @supabase/postgrest-js through a script, once direct and once through labseal, and prints
// what differs as JSON. Started by main.rs:
//   node postgrest_js.mjs MODULE DIRECT LABSEAL KEY VALUES
// VALUES is a JSON object of lists: record numbers, names and notes that must be found nowhere else.
const [module, direct, sealed, key, values] = process.argv.slice(2);
const { PostgrestClient } = await import(module);
const { mrn, name, note } = JSON.parse(values);

const at = (url, headers) => new PostgrestClient(url, { headers });
const clients = { direct: at(direct, {}), labseal: at(sealed, { 'X-Api-Key': key }) };

const people = mrn.slice(0, 6).map((number, n) => ({
  id: n + 1,
  mrn: number,
  last_name: name[n],
  given: name[(n + 1) % 6],
  'e.mail': n % 2 ? `${name[n]}@lab.se` : null,
  notes: n === 3 ? null : note[n],
  born: `700${n}-0${n + 1}-11`,
  score: 10.5 * n,
  visits: 1000 + n,
  vip: n % 2 === 0,
  ward: 'AABBC'[n] ?? null,
  bed: n,
  meta: { floor: n, tags: ['x', 'y'] },
  tags: n % 2 ? ['a', 'b'] : ['c'],
}));
const orders = [0, 0, 1, 2, 2, 4].map((who, n) => ({
  id: n + 1, mrn: mrn[who], code: ['CBC', 'BMP'][n % 2], priority: n, remark: note[n], amount: n + 0.25,
}));

// Steps: a name, what to do with a client, and the code of the refusal if there is to be one.
const steps = [];
const step = (title, run, refused) => steps.push({ title, run, refused });
const patients = (c) => c.from('patients');

step('insert: one', (c) => patients(c).insert(people[0]).select());
step('insert: many', (c) => patients(c).insert(people.slice(1)).select('id,mrn,born,score,vip'));
step('insert: without answer', (c) => c.from('orders').insert(orders));
step('insert: into another table', (c) => c.from('wards').insert([{ code: 'A', title: 'One' }, { code: 'B', title: 'Two' }]));
step('insert: count', (c) => c.from('contacts').insert([{ mrn: mrn[0], phone: note[0], room: '1' }, { mrn: mrn[1], phone: note[1], room: '2' }], { count: 'exact' }));
step('insert: with defaults', (c) => c.from('orders').insert([{ mrn: mrn[1], code: 'Na' }, { mrn: mrn[1], code: 'K', priority: 3 }], { defaultToNull: false }).select('code,priority,mrn'));
step('insert: keys that differ', (c) => c.from('orders').insert([{ mrn: mrn[3], code: 'X1' }, { mrn: mrn[3], code: 'X2', remark: note[2] }]).select('code,remark,mrn'));
step('insert: single', (c) => patients(c).insert({ id: 50, mrn: mrn[6], last_name: name[6] }).select().single());

step('select: all', (c) => patients(c).select().order('id'));
step('select: some', (c) => patients(c).select('id, mrn, last_name').order('id'));
step('select: aliases', (c) => patients(c).select('number:mrn, surname:last_name, id').order('id'));
step('select: quoted name', (c) => patients(c).select('id, "e.mail"').order('id'));
step('select: json paths', (c) => patients(c).select('id, floor:meta->floor, meta->tags->>0, mrn').order('id'));
step('select: cast to text', (c) => patients(c).select('id::text, mrn::text').order('id'));
step('select: another cast', (c) => patients(c).select('mrn::int'), 'LS106');
step('select: head with count', (c) => patients(c).select('*', { count: 'exact', head: true }));
step('select: count', (c) => patients(c).select('id', { count: 'exact' }).order('id'));
step('select: embedded many', (c) => patients(c).select('mrn, orders(code, remark)').order('id').order('id', { referencedTable: 'orders' }));
step('select: embedded one', (c) => c.from('orders').select('code, patients(mrn, last_name)').order('id'));
step('select: embedded at two levels', (c) => c.from('contacts').select('room, patients(mrn, orders(code, mrn))').order('room').order('id', { referencedTable: 'patients.orders' }));
step('select: embedded under an alias', (c) => c.from('orders').select('id, who:patients(last_name, vip)').order('id'));
step('select: embedded by a key', (c) => c.from('orders').select('id, patients!orders_mrn_fkey(mrn)').order('id'));
step('select: inner join', (c) => patients(c).select('id, contacts!inner(phone)').order('id'));
step('select: spread', (c) => c.from('orders').select('code, ...patients(last_name, ward)').order('id'));
step('select: spread renamed', (c) => c.from('orders').select('code, ...patients(surname:last_name)').order('id'));
step('select: count of embedded', (c) => patients(c).select('id, orders(count)').order('id'));
step('select: empty embed', (c) => patients(c).select('id, mrn, contacts()').not('contacts', 'is', null).order('id'));
step('select: what is not there', (c) => patients(c).select('nothing'));
step('select: embed of what is not there', (c) => patients(c).select('id, nothing(x)'));
step('select: from what is not there', (c) => c.from('nothing').select());

step('filter: eq', (c) => patients(c).select().eq('mrn', mrn[1]));
step('filter: eq on a name', (c) => patients(c).select('id').eq('last_name', name[2]));
step('filter: eq on a number', (c) => patients(c).select('id,score').eq('score', 21));
step('filter: eq on an integer', (c) => patients(c).select('id').eq('visits', 1003));
step('filter: eq on a date', (c) => patients(c).select('id,born').eq('born', '7002-03-11'));
step('filter: eq of nothing', (c) => patients(c).select('id').eq('mrn', 'none'));
step('filter: neq', (c) => patients(c).select('id').neq('mrn', mrn[1]).order('id'));
step('filter: neq on a name', (c) => patients(c).select('id').neq('last_name', name[1]).order('id'));
step('filter: in', (c) => patients(c).select('id').in('mrn', [mrn[0], mrn[4], 'a,b']).order('id'));
step('filter: in on a name', (c) => patients(c).select('id').in('last_name', [name[0], name[5]]).order('id'));
step('filter: in on a plain column', (c) => patients(c).select('id,ward').in('ward', ['A', 'C', '(x)']).order('id'));
step('filter: not in', (c) => patients(c).select('id').not('mrn', 'in', `("${mrn[0]}","${mrn[2]}")`).order('id'));
step('filter: is null', (c) => patients(c).select('id').is('notes', null));
step('filter: not null', (c) => patients(c).select('id').not('notes', 'is', null).order('id'));
step('filter: is true', (c) => patients(c).select('id').is('active', true).order('id'));
step('filter: range on a plain column', (c) => patients(c).select('id').gte('bed', 2).lt('bed', 5).order('id'));
step('filter: pattern on a plain column', (c) => patients(c).select('id').like('ward', 'A%').order('id'));
step('filter: contains', (c) => patients(c).select('id').contains('tags', ['a']).order('id'));
step('filter: contained by', (c) => patients(c).select('id').containedBy('tags', ['a', 'b', 'c']).order('id'));
step('filter: overlaps', (c) => patients(c).select('id').overlaps('tags', ['c', 'z']).order('id'));
step('filter: json contains', (c) => patients(c).select('id').contains('meta', { floor: 2 }));
step('filter: json path', (c) => patients(c).select('id').eq('meta->>floor', '3'));
step('filter: match', (c) => patients(c).select('id').match({ mrn: mrn[2], ward: 'B' }));
step('filter: filter', (c) => patients(c).select('id').filter('last_name', 'eq', name[3]));
step('filter: not', (c) => patients(c).select('id').not('last_name', 'eq', name[3]).order('id'));
step('filter: or', (c) => patients(c).select('id').or(`mrn.eq.${mrn[0]},bed.gt.3`).order('id'));
step('filter: or of and', (c) => patients(c).select('id').or(`and(last_name.eq.${name[1]},ward.eq.A),not.and(id.lt.5,bed.gte.0)`).order('id'));
step('filter: or in an embed', (c) => patients(c).select('id, orders(id)').or('code.eq.CBC,priority.gt.3', { referencedTable: 'orders' }).order('id').order('id', { referencedTable: 'orders' }));
step('filter: in an embed', (c) => patients(c).select('id, orders(code,remark)').eq('orders.remark', note[1]).order('id'));
step('filter: in an inner embed', (c) => patients(c).select('id, orders!inner(code)').eq('orders.mrn', mrn[2]));
step('filter: by an embed under an alias', (c) => c.from('orders').select('id, who:patients!inner(mrn)').eq('who.last_name', name[0]).order('id'));
step('filter: two of one column', (c) => patients(c).select('id').neq('mrn', mrn[0]).neq('mrn', mrn[1]).order('id'));
step('filter: text search on a plain column', (c) => c.from('wards').select().textSearch('title', 'one', { type: 'plain', config: 'english' }));
step('filter: a literal of another type', (c) => patients(c).select('id').eq('bed', 'x'));
step('filter: range on a name', (c) => patients(c).select('id').gt('last_name', 'A'), 'LS104');
step('filter: pattern on a note', (c) => patients(c).select('id').like('notes', '%a%'), 'LS104');
step('filter: eq on a note', (c) => patients(c).select('id').eq('notes', note[0]), 'LS104');
step('filter: search in a name', (c) => patients(c).select('id').textSearch('last_name', 'x'), 'LS104');
step('filter: not of the type', (c) => patients(c).select('id').eq('score', 'high'), 'LS420');

step('transform: order', (c) => patients(c).select('id,ward').order('ward', { ascending: false, nullsFirst: true }).order('id'));
step('transform: order by a note', (c) => patients(c).select('id').order('notes'), 'LS105');
step('transform: order by an embed', (c) => c.from('orders').select('id, patients(id)').order('patients(bed)').order('id'));
step('transform: limit', (c) => patients(c).select('id,mrn').order('id').limit(2));
step('transform: limit in an embed', (c) => patients(c).select('id, orders(id,mrn)').order('id').order('id', { referencedTable: 'orders' }).limit(1, { referencedTable: 'orders' }));
step('transform: range', (c) => patients(c).select('id,mrn', { count: 'exact' }).order('id').range(1, 3));
step('transform: range beyond the end', (c) => patients(c).select('id', { count: 'exact' }).order('id').range(90, 99));
step('transform: single', (c) => patients(c).select().eq('mrn', mrn[0]).single());
step('transform: single of several', (c) => patients(c).select().eq('ward', 'A').single());
step('transform: single of none', (c) => patients(c).select().eq('mrn', 'none').single());
step('transform: maybe single', (c) => patients(c).select('mrn,notes').eq('mrn', mrn[4]).maybeSingle());
step('transform: maybe single of none', (c) => patients(c).select().eq('mrn', 'none').maybeSingle());
step('transform: maybe single of several', (c) => patients(c).select().eq('ward', 'B').maybeSingle());
step('transform: nulls stripped', (c) => patients(c).select().order('id').stripNulls());
step('transform: csv of plain columns', (c) => patients(c).select('id,ward').order('id').csv());
step('transform: csv', (c) => patients(c).select('id,mrn,last_name,notes').order('id').csv());
step('transform: abort', async (c) => {
  const { error } = await patients(c).select().abortSignal(AbortSignal.abort());
  return { data: error?.message?.split(':')[0], status: 0 };
});
step('transform: throw', async (c) => {
  try {
    return await c.from('nothing').select().throwOnError();
  } catch (error) {
    return { error: { code: error.code, details: error.details, message: error.message } };
  }
});

step('aggregate: count', (c) => patients(c).select('count()'));
step('aggregate: count by a plain column', (c) => patients(c).select('ward, count()').order('ward'));
step('aggregate: sum of a plain column', (c) => patients(c).select('bed.sum(), total:bed.avg()'));
step('aggregate: count of a name', (c) => patients(c).select('last_name.count()'));
step('aggregate: sum of a sealed column', (c) => patients(c).select('score.sum()'), 'LS106');
step('aggregate: by a sealed column', (c) => patients(c).select('last_name, count()'), 'LS106');

step('update: one', (c) => patients(c).update({ notes: note[7], ward: 'D' }).eq('mrn', mrn[0]).select());
step('update: several', (c) => patients(c).update({ given: name[8] }).eq('ward', 'B').select('id,given').order('id'));
step('update: without answer', (c) => patients(c).update({ score: '7.5' }).eq('id', 2));
step('update: count', (c) => patients(c).update({ bed: 9 }, { count: 'exact' }).in('mrn', [mrn[1], mrn[2]]));
step('update: to null', (c) => patients(c).update({ notes: null, born: null }).eq('id', 3).select().single());
step('update: nobody', (c) => patients(c).update({ bed: 1 }).eq('mrn', 'none').select());
step('update: of another type', (c) => patients(c).update({ born: 'soon' }).eq('id', 1), 'LS420');
step('update: a plain column of another type', (c) => patients(c).update({ bed: 'x' }).eq('id', 1));

step('upsert: a new record', (c) => c.from('contacts').upsert({ mrn: mrn[2], phone: note[2], room: '3' }).select());
step('upsert: a known record', (c) => c.from('contacts').upsert({ mrn: mrn[0], phone: note[6], room: '11' }).select());
step('upsert: by a column', (c) => patients(c).upsert({ mrn: mrn[1], last_name: name[7] }, { onConflict: 'mrn' }).select('id,mrn,last_name'));
step('upsert: several', (c) => patients(c).upsert([{ mrn: mrn[1], ward: 'E' }, { mrn: mrn[7], ward: 'E' }], { onConflict: 'mrn' }).select('mrn,ward'));
step('upsert: ignoring duplicates', (c) => patients(c).upsert([{ mrn: mrn[2], ward: 'F' }, { mrn: mrn[8], ward: 'F' }], { onConflict: 'mrn', ignoreDuplicates: true }).select('mrn,ward'));
step('upsert: by a name', (c) => patients(c).upsert({ mrn: mrn[1], last_name: name[7] }, { onConflict: 'last_name' }), 'LS108');

step('error: a duplicate', (c) => patients(c).insert({ mrn: mrn[0] }));
step('error: a duplicate address', (c) => patients(c).insert({ mrn: mrn[9], 'e.mail': `${name[1]}@lab.se` }));
step('error: nobody has that number', (c) => c.from('orders').insert({ mrn: mrn[9], code: 'CBC' }));
step('error: no code', (c) => c.from('wards').insert({ title: 'none' }));
step('error: a check', (c) => c.from('wards').insert({ code: null }));
step('error: no such column', (c) => patients(c).insert({ mrn: mrn[9], nothing: 1 }));
step('error: a list of the wrong kind', (c) => patients(c).insert([[1]]), 'LS101');

step('schema: another', (c) => c.schema('archive').from('patients').insert({ id: 1, mrn: mrn[0], last_name: 'plain' }).select());
step('schema: read', (c) => c.schema('archive').from('patients').select().eq('mrn', mrn[0]));
step('schema: not exposed', (c) => c.schema('nowhere').from('patients').select());
step('view: read', (c) => c.from('census').select().order('id'));
step('view: search', (c) => c.from('census').select('id').eq('surname', name[5]));
step('view: undeclared', (c) => c.from('roster').select().order('id'));
step('view: undeclared, by a protected name', (c) => c.from('roster').select().eq('mrn', mrn[0]), 'LS207');
step('view: undeclared, written', (c) => c.from('roster').insert({ mrn: mrn[9] }), 'LS204');

step('rpc: value', (c) => c.rpc('patient_count'));
step('rpc: records', (c) => c.rpc('of_ward', { w: 'E' }));
step('rpc: by get', (c) => c.rpc('of_ward', { w: 'E' }, { get: true }).select('id,mrn').order('id'));
step('rpc: filtered', (c) => c.rpc('of_ward', { w: 'E' }).select('id,mrn').eq('ward', 'E').limit(1));
step('rpc: head and count', (c) => c.rpc('of_ward', { w: 'E' }, { head: true, count: 'exact' }));
step('rpc: by a protected argument', (c) => c.rpc('find_patient', { mrn: mrn[0] }));
step('rpc: undeclared', (c) => c.rpc('erase_patient', { mrn: mrn[0] }), 'LS205');
step('rpc: not there', (c) => c.rpc('patient_count', { x: 1 }));

step('delete: one', (c) => c.from('contacts').delete().eq('mrn', mrn[0]).select());
step('delete: count', (c) => c.from('orders').delete({ count: 'exact' }).eq('mrn', mrn[2]));
step('delete: who is referred to', (c) => patients(c).delete().eq('id', 5));
step('delete: by name', (c) => patients(c).delete().in('last_name', [name[6]]).select('id,mrn'));
step('delete: nobody', (c) => patients(c).delete().eq('mrn', 'none'));
step('afterwards: patients', (c) => patients(c).select().order('id'));
step('afterwards: orders', (c) => c.from('orders').select().order('id'));
step('afterwards: contacts', (c) => c.from('contacts').select().order('room'));

const outcome = async (run, client) => {
  const { data = null, error = null, status, statusText, count = null } = await run(client);
  // Of whom else a value belongs to, an error does not tell.
  const told = error && { ...error, details: error.details?.replace?.(/=\(.*\) is still/, '=(…) is still') };
  return { status, statusText, count, data, error: told };
};

const report = { steps: 0, refused: 0, failed: 0, differences: [] };
for (const { title, run, refused } of steps) {
  report.steps += 1;
  const labseal = await outcome(run, clients.labseal);
  if (refused) {
    report.refused += 1;
    if (labseal.error?.code !== refused) {
      report.differences.push({ title, expected: refused, labseal });
    }
    continue;
  }
  const direct = await outcome(run, clients.direct);
  report.failed += direct.error ? 1 : 0;
  if (JSON.stringify(direct) !== JSON.stringify(labseal)) {
    report.differences.push({ title, direct, labseal });
  }
}
console.log(JSON.stringify(report));
