use super::is_same_cycle;

#[test]
fn a_cycle_is_the_same_wherever_its_telling_begins() {
    assert!(is_same_cycle("a => b => a", "b => a => b"));
    assert!(is_same_cycle("a => x => b => a", "b => a => x => b"));
    assert!(!is_same_cycle("a => x => b => a", "b => x => a => b"));
    assert!(!is_same_cycle("a => b => a", "a => b => c => a"));
    let open = "localcount_drain => xc => mtx => xc";
    assert!(is_same_cycle(open, open));
    assert!(!is_same_cycle(open, "localcount_drain => mtx => xc => mtx"));
}
