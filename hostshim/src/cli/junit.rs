//! Results as JUnit XML, for whatever shows the tests of a build. Times are left out: the same arguments give the same file.

use std::path::Path;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::results::Outcome;
use super::{save, terminal};

/// One test case.
pub(super) struct Case {
    /// The scenario.
    pub(super) scenario: &'static str,
    /// The variant.
    pub(super) variant: &'static str,
    /// What came of it.
    pub(super) outcome: Outcome,
    /// Whether that is the expected outcome.
    pub(super) is_right: bool,
    /// It in a sentence.
    pub(super) message: String,
    /// All that is known.
    pub(super) details: String,
}

/// A named list of cases.
pub(super) type Suite<'a> = (&'a str, Vec<Case>);

/// Writes the file.
pub(super) fn write(path: &Path, suites: Vec<Suite<'_>>) {
    let mut report = Report::new("rumplab");
    for (name, cases) in suites {
        let mut suite = TestSuite::new(name);
        suite.add_test_cases(cases.into_iter().map(test_case));
        report.add_test_suite(suite);
    }
    match report.to_string() {
        Ok(text) => drop(save::write(path, text.as_bytes(), "--junit")),
        Err(error) => terminal::lose(format!("the results cannot be written as XML: {error}")),
    }
}

fn test_case(case: Case) -> TestCase {
    let mut status = match case.outcome {
        Outcome::Stopped | Outcome::Skipped => TestCaseStatus::skipped(),
        Outcome::Broken => TestCaseStatus::non_success(NonSuccessKind::Error),
        _ if case.is_right => TestCaseStatus::success(),
        _ => TestCaseStatus::non_success(NonSuccessKind::Failure),
    };
    let is_success = matches!(status, TestCaseStatus::Success { .. });
    if !is_success {
        status.set_message(case.message);
        status.set_description(case.details);
    }
    let mut test = TestCase::new(format!("{} {}", case.scenario, case.variant), status);
    test.set_classname(case.scenario);
    test
}
