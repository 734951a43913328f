#[test]
fn the_example_is_valid() {
    let report = crate::check(include_str!("../../../../docs/examples/two-sites.toml"), "two-sites.toml");
    assert!(report.desired.is_some(), "{report}");
    println!("{report}");
    println!("{:#?}", crate::plan(report.desired.as_ref().unwrap(), &Default::default()));
}
