//! The command line as its users meet it: arguments, output and exit code, in `tests/cmd`.
//!
//! After a change that is meant, `TRYCMD=overwrite cargo test --test cli` writes what is printed now.

#[test]
fn commands_print_and_exit_as_recorded() {
    let recorded = std::fs::read_dir("tests/cmd").unwrap().count();
    assert_eq!(recorded, 4, "a file of tests/cmd was not run");
    trycmd::TestCases::new()
        .register_bin("labseal", std::path::Path::new(env!("CARGO_BIN_EXE_labseal")))
        .case("tests/cmd/*.trycmd");
}
