//! How fast bodies pass: 10 MB of records with 24 keys each, with nothing protected in them and with
//! a tenth of the bytes sealed.

#![allow(missing_docs)]

#[path = "../tests/bodies/mod.rs"]
mod bodies;

use bodies::{Lab, patients};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use labseal::{
    model::Verb,
    seal::{Direction, Transform},
};

const SIZE: usize = 10_000_000;
const PIECE: usize = 64 << 10;

/// A list of records as a lab database answers them: short keys, short values of every kind.
fn list(protected: impl Fn(usize) -> String) -> Vec<u8> {
    let mut body = String::from("[");
    let mut i = 0;
    while body.len() < SIZE {
        if i > 0 {
            body.push_str(", \n ");
        }
        body.push_str(&format!(
            "{{{}\"id\":{i},\"order_id\":{},\"specimen_id\":{},\"test_code\":\"HGB-{}\",\
             \"test_name\":\"Hemoglobin A1c\",\"unit\":\"mmol/mol\",\"status\":\"final\",\
             \"abnormal\":false,\"critical\":false,\"verified\":true,\"verified_by\":null,\
             \"analyzer\":\"COBAS-8000-{}\",\"rack\":\"R{}\",\"position\":{},\"reference_low\":20.00,\
             \"reference_high\":42.50,\"collected_at\":\"2026-11-24T06:15:00+00:00\",\
             \"received_at\":\"2026-11-24T07:02:13+00:00\",\"resulted_at\":null,\"priority\":\"routine\",\
             \"department\":\"Clinical Chemistry\",\"comment\":\"\",\"version\":1,\
             \"tags\":[\"auto\",\"delta-ok\"]}}",
            protected(i),
            i * 7,
            i * 3,
            i % 90,
            i % 4,
            i % 50,
            i % 10,
        ));
        i += 1;
    }
    body.push(']');
    body.into_bytes()
}

fn pass<D: Direction>(mut pass: Transform<D>, body: &[u8], out: &mut Vec<u8>) {
    out.clear();
    for piece in body.chunks(PIECE) {
        pass.push(piece, out).unwrap();
    }
    let _ = pass.finish(out).unwrap();
}

fn scan(criterion: &mut Criterion) {
    let lab = Lab::new();
    let plan = lab.plan("clear", Verb::Create, patients());
    let plain = list(|_| String::new());
    let clear = list(|i| format!("\"mrn\":\"MRN-{i:08}\",\"result\":{}.{},", i % 300, i % 10));
    let mut sealed = Vec::new();
    pass(lab.sealing(&plan), &clear, &mut sealed);
    let mut out = Vec::with_capacity(2 * sealed.len());

    let mut group = criterion.benchmark_group("list_10mb");
    group.sample_size(20);
    group.throughput(Throughput::Bytes(plain.len() as u64));
    group.bench_function("open_nothing_protected", |bench| {
        bench.iter(|| pass(lab.opening(&plan), &plain, &mut out));
    });
    group.bench_function("seal_nothing_protected", |bench| {
        bench.iter(|| pass(lab.sealing(&plan), &plain, &mut out));
    });
    group.throughput(Throughput::Bytes(clear.len() as u64));
    group.bench_function("seal_two_of_26", |bench| {
        bench.iter(|| pass(lab.sealing(&plan), &clear, &mut out));
    });
    group.throughput(Throughput::Bytes(sealed.len() as u64));
    group.bench_function("open_two_of_26", |bench| {
        bench.iter(|| pass(lab.opening(&plan), &sealed, &mut out));
    });
    group.finish();
}

criterion_group!(benches, scan);
criterion_main!(benches);
