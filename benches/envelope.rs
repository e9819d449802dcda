//! Sealing and opening one value, side by side with the bare cipher call on the same bytes.
//!
//! `bare` is `aes-gcm-siv` with an expanded key, a fixed nonce, the same additional data length and
//! the value as it is: no randomness, no padding, no text. The aim is `seal/random` ≤ 1.3 × `bare`.
//!
//! Key and nonce of the bare call are opaque to the compiler, as they are in use. The bare call is compiled
//! into this crate and the others into `labseal`: when the ratio jumps, compare the profiles of both
//! before believing either, since inlining in the `aes` crate decides half of the time.

use std::hint::black_box;

use aes_gcm_siv::{Aes256GcmSiv, KeyInit as _, aead::AeadInOut as _};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use labseal::base::{
    class::{Equality, Mode, Rung},
    ident::{ClassId, Tenant},
    secret::{Plaintext, SecretKey},
};
use labseal::crypto::{
    DataClassKey, IndexClassKey, Kind, Ladder, Nonces, Parity, RingKey, Typed, envelope,
    seal_deterministic, seal_random, seal_searchable,
};

fn values(criterion: &mut Criterion) {
    let ring = RingKey::from_secret(SecretKey::new([7; 32]));
    let (tenant, class) = (Tenant::new("main"), ClassId::new("c-name"));
    let random = DataClassKey::derive(&ring, &tenant, &class, Mode::Random).unwrap();
    let searchable = DataClassKey::derive(&ring, &tenant, &class, Mode::Searchable).unwrap();
    let index = IndexClassKey::derive(&ring, &tenant, &class).unwrap();
    let bare = Aes256GcmSiv::new(&[7; 32].into());
    let nonces = &mut Nonces::new();
    let mut out = Vec::with_capacity(16_384);

    for size in [16, 64, 1_024] {
        let value = Typed::new(Kind::String, Plaintext::new(vec![b'x'; size]));
        let mut sealed = [Vec::new(), Vec::new(), Vec::new()];
        let ladder = Ladder::new(&index, &[Rung::Ieq, Rung::Eq], Equality::Exact, &value).unwrap();
        seal_random(&random, &value, nonces, &mut sealed[0]).unwrap();
        seal_searchable(&searchable, &ladder, Parity::Odd, &value, nonces, &mut sealed[1]).unwrap();
        seal_deterministic(&index, &value, &mut sealed[2]).unwrap();

        let mut group = criterion.benchmark_group(format!("{size} bytes"));
        group.throughput(Throughput::Elements(1));
        group.bench_function("seal/bare", |bench| {
            let mut bytes = vec![b'x'; size];
            let (nonce, aad) = ([9; 12].into(), [5; 15]);
            bench.iter(|| {
                black_box(&bare)
                    .encrypt_inout_detached(
                        black_box(&nonce),
                        black_box(&aad),
                        black_box(&mut bytes[..]).into(),
                    )
                    .unwrap()
            });
        });
        group.bench_function("seal/random", |bench| {
            bench.iter(|| {
                out.clear();
                seal_random(&random, black_box(&value), nonces, &mut out).unwrap();
            });
        });
        group.bench_function("seal/searchable, two rungs", |bench| {
            bench.iter(|| {
                out.clear();
                let ladder =
                    Ladder::new(&index, &[Rung::Ieq, Rung::Eq], Equality::Exact, black_box(&value))
                        .unwrap();
                seal_searchable(&searchable, &ladder, Parity::Odd, &value, nonces, &mut out)
                    .unwrap();
            });
        });
        group.bench_function("seal/deterministic", |bench| {
            bench.iter(|| {
                out.clear();
                seal_deterministic(&index, black_box(&value), &mut out).unwrap();
            });
        });
        group.bench_function("open/bare", |bench| {
            let (nonce, aad) = ([9; 12].into(), [5; 15]);
            let mut bytes = vec![b'x'; size];
            let tag =
                bare.encrypt_inout_detached(&nonce, &aad, bytes.as_mut_slice().into()).unwrap();
            let sealed = bytes.clone();
            bench.iter(|| {
                bytes.copy_from_slice(black_box(&sealed));
                bare.decrypt_inout_detached(&nonce, &aad, bytes.as_mut_slice().into(), &tag)
                    .unwrap()
            });
        });
        group.bench_function("open/random", |bench| {
            bench.iter(|| random.open(&envelope::parse(black_box(&sealed[0])).unwrap()).unwrap());
        });
        group.bench_function("open/searchable, two rungs", |bench| {
            bench.iter(|| {
                searchable.open(&envelope::parse(black_box(&sealed[1])).unwrap()).unwrap()
            });
        });
        group.bench_function("open/deterministic", |bench| {
            bench.iter(|| index.open(&envelope::parse(black_box(&sealed[2])).unwrap()).unwrap());
        });
    }
}

criterion_group!(benches, values);
criterion_main!(benches);
