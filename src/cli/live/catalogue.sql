with wanted ("schema", "table", "column", "unique", tested, ranged) as (
    values
        {VALUES}
),
found as (
    select w.*, r.oid as relation, r.relkind, a.attnum, a.attcollation,
           coalesce(l.collisdeterministic, true) as exact,
           pg_catalog.quote_ident(ln.nspname) || '.' || pg_catalog.quote_ident(l.collname) as collation,
           pg_catalog.format('%I.%I', w."schema", w."table") as target,
           pg_catalog.quote_ident(w."column") as name
    from wanted w
    left join (
        select c.oid, c.relkind, c.relname, n.nspname
        from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'v', 'm', 'f')
    ) r on r.nspname = w."schema" and r.relname = w."table"
    left join pg_catalog.pg_attribute a
        on a.attrelid = r.oid and a.attname = w."column" and a.attnum > 0 and not a.attisdropped
    left join pg_catalog.pg_collation l on l.oid = a.attcollation
    left join pg_catalog.pg_namespace ln on ln.oid = l.collnamespace
),
judged as (
    select f.*,
           f.relkind in ('r', 'p', 'm') as is_table,
           exists (
               select from pg_catalog.pg_index i
               where i.indrelid = f.relation and i.indkey[0] = f.attnum and i.indisunique
                 and i.indnkeyatts = 1 and i.indisvalid and i.indpred is null
           ) as has_unique,
           exists (
               select from pg_catalog.pg_index i
               join pg_catalog.pg_class x on x.oid = i.indexrelid
               join pg_catalog.pg_am m on m.oid = x.relam
               join pg_catalog.pg_opclass o on o.oid = i.indclass[0]
               join pg_catalog.pg_opfamily y on y.oid = o.opcfamily
               where i.indrelid = f.relation and i.indkey[0] = f.attnum
                 and i.indisvalid and i.indpred is null and i.indcollation[0] = f.attcollation
                 and case m.amname
                     when 'btree' then o.opcdefault or y.opfname = 'text_ops' or not f.ranged
                     when 'hash' then not f.ranged
                     else false
                 end
           ) as has_index,
           -- Sorts all beginnings of tokens by the column's collation and by bytes.
           f.attcollation is distinct from 0 and f.ranged and f.attnum is not null
               and pg_catalog.query_to_xml(pg_catalog.format(
                   'select string_agg(v, '','' order by v collate %s)
                         = string_agg(v, '','' order by v collate "C") as same
                    from (select ''ls1s'' || r || x || y as v
                          from generate_series(1, 5) r,
                               regexp_split_to_table(''abcdefghijklmnopqrstuvwxyz234567'', '''') x,
                               regexp_split_to_table(''abcdefghijklmnopqrstuvwxyz234567'', '''') y
                         ) t', f.collation), false, true, '')::text
               not like '%<same>true</same>%' as is_reordered
    from found f
)
select 'absent' as finding, "schema", "table", "column", '' as ddl
from judged where attnum is null
union all
select 'view', "schema", "table", "column", ''
from judged where attnum is not null and not is_table
union all
select 'collation', "schema", "table", "column",
       case when relkind in ('r', 'p') then
           pg_catalog.format('ALTER TABLE %s ALTER COLUMN %s TYPE text COLLATE "C";', target, name)
       else '' end
from judged where is_reordered
union all
select 'inexact_collation', "schema", "table", "column",
       case when relkind in ('r', 'p') then
           pg_catalog.format('ALTER TABLE %s ALTER COLUMN %s TYPE text COLLATE "C";', target, name)
       else '' end
from judged where attnum is not null and not exact and not is_reordered
                  and ("unique" or tested)
union all
select 'no_unique_index', "schema", "table", "column",
       pg_catalog.format('CREATE UNIQUE INDEX %sON %s (%s);',
                         case when relkind = 'p' then '' else 'CONCURRENTLY ' end, target, name)
from judged where attnum is not null and is_table and "unique" and not has_unique
union all
select 'no_index', "schema", "table", "column",
       pg_catalog.format('CREATE INDEX %sON %s (%s);',
                         case when relkind = 'p' then '' else 'CONCURRENTLY ' end, target, name)
from judged where attnum is not null and is_table and tested and not has_index
                  and not ("unique" and not has_unique);
