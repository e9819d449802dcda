-- Sealed columns are text: the database holds envelopes.
create role lab nologin;

create table public.patients (
    id bigint generated always as identity primary key,
    mrn text not null unique,
    last_name text,
    created_at timestamptz not null default now()
);
-- Searches by name are ranges over this index.
create index on public.patients (last_name);

create table public.results (
    id bigint generated always as identity primary key,
    patient_id bigint not null references public.patients,
    test text not null,
    value text
);

grant select, insert, update, delete on public.patients, public.results to lab;
