//! Specs read, written back and refused.
use proptest::prelude::*;

use super::*;

fn told(text: &str) -> String {
    match Spec::parse(text.as_bytes()) {
        Ok(spec) => String::from_utf8(printer::to_machine(&to_sexp::spec(&spec))).unwrap(),
        Err(error) => format!("{error} [{}]", error.hint.as_deref().unwrap_or("")),
    }
}

#[test]
fn every_operation_is_read_and_written_back() {
    for text in [
        "((from a)(comment\"b c\")(workdir /d)(shell e f)(shell)(env g h))",
        "((from a)(run(shell b)))",
        "((from a)(run(cache(c(target /d))(e(target /f)(buildkit_options((g h)))))(network host)(secrets(s(target /t)))(shell b)))",
        "((build b((from c)))(from a)(copy(from(build b))(src d e)(dst f)(exclude g)))",
        "((from a)(user(uid 1)(gid 2))(user(name n)))",
        "((build b((build c((from d)))(from e)(copy(from(build c))(src f)(dst g))))(from a))",
    ] {
        assert_eq!(told(text), text);
    }
}

#[test]
fn the_other_spellings_mean_the_same() {
    for (text, same) in [
        ("((from a)(Shell b)(Comment c))", "((from a)(shell b)(comment c))"),
        ("((from a)(Run((shell b))))", "((from a)(run(shell b)))"),
        ("((from a)(Copy((src b)(dst c))))", "((from a)(copy(src b)(dst c)))"),
        ("((from a)(Env(b c)))", "((from a)(env b c))"),
        ("((from a)(User((uid 1)(gid 2))))", "((from a)(user(uid 1)(gid 2)))"),
        ("((from a)(copy(dst b)(from context)(exclude)(src c)))", "((from a)(copy(src c)(dst b)))"),
        ("((from a)(run(network)(cache)(shell b)(secrets)))", "((from a)(run(shell b)))"),
    ] {
        assert_eq!(told(text), same, "{text}");
    }
}

/// Faulty specs, and what is told about each: `message [hint]`.
const FAULTS: &[(&str, &str)] = &[
    ("a", "line 1, column 1: a spec is a list: ((from BASE) OP…) []"),
    ("()", "line 1, column 1: this spec has no (from BASE) [name a base image, as (from empty)]"),
    (
        "((from a b))",
        "line 1, column 2: from: takes one value, not 2 [put a value with blanks in it in double quotes]",
    ),
    (
        "((from a)\n (frobnicate x))",
        "line 2, column 3: unknown operation \"frobnicate\" [known are comment, workdir, shell, run, copy, user, env]",
    ),
    ("((from a)(rum (shell x)))", "line 1, column 11: unknown operation \"rum\" [did you mean \"run\"?]"),
    (
        "((from a)(RUN (shell x)))",
        "line 1, column 11: unknown operation \"RUN\" [operations are written in lower case: \"run\"]",
    ),
    (
        "((from a)(Run (shell x)))",
        "line 1, column 10: Run: its fields must stand in a list of their own [write (run …) with a small letter, or (Run (…))]",
    ),
    (
        "((from a)(run (network host)))",
        "line 1, column 10: run: field \"shell\" is missing [add (shell …) to it]",
    ),
    (
        "((from a)(run (shell x) (shell y)))",
        "line 1, column 25: run: field \"shell\" is given twice [merge the two into one]",
    ),
    ("((from a)(run (shel x)))", "line 1, column 16: run: unknown field \"shel\" [did you mean \"shell\"?]"),
    (
        "((from a)(run (shell x y)))",
        "line 1, column 15: run: field \"shell\" takes one value, not 2 [put a value with blanks in it in double quotes]",
    ),
    (
        "((from a)(run x))",
        "line 1, column 15: run: expected a field, as (NAME VALUE) [its fields are cache, network, secrets, shell]",
    ),
    ("((from a)(copy (dst b)))", "line 1, column 10: copy: field \"src\" is missing [add (src …) to it]"),
    (
        "((from a)(copy (from b) (src c) (dst b)))",
        "line 1, column 22: copy: expected (from context) or (from (build NAME)) []",
    ),
    (
        "((from a)(user (uid -1) (gid 2)))",
        "line 1, column 21: user: \"uid\" must be a number from 0 to 4294967295 []",
    ),
    ("((from a)(user (uid 1)))", "line 1, column 10: user: field \"gid\" is missing [add (gid …) to it]"),
    (
        "((from a)(env b))",
        "line 1, column 10: env: takes a name and a value, not 1 words [put a value with blanks in it in double quotes]",
    ),
    ("((from a)(workdir (b)))", "line 1, column 19: workdir: expected a string here, not a list []"),
    (
        "((from a)(workdir \"b\\000\"))",
        "line 1, column 19: workdir: a string must not hold a NUL byte [no path, variable or command can contain one]",
    ),
    ("((from a)(from b))", "line 1, column 10: a second (from …) [a stage has one base image]"),
    (
        "((run (shell x)))",
        "line 1, column 2: expected (from BASE) before this [a spec begins with its (build NAME SPEC) stages, then (from BASE), then the operations]",
    ),
    (
        "((from a)(run (cache (c)) (shell x)))",
        "line 1, column 22: cache: field \"target\" is missing [add (target …) to it]",
    ),
];

#[test]
fn faults_name_the_place_the_reason_and_the_remedy() {
    for (text, error) in FAULTS {
        assert_eq!(told(text), *error, "{text}");
    }
}

#[test]
fn a_copy_from_a_stage_out_of_scope_is_refused() {
    for (text, error) in [
        (
            "((build dev ((from a))) (from a) (copy (from (build dve)) (src a) (dst b)))",
            "line 1, column 53: unknown build \"dve\" [did you mean \"dev\"?]",
        ),
        (
            "((build b ((build inner ((from a))) (from a))) (from a) (copy (from (build inner)) (src a) (dst b)))",
            "line 1, column 76: unknown build \"inner\" [known are b]",
        ),
    ] {
        assert_eq!(told(text), error);
    }
}

#[test]
fn a_later_stage_may_copy_from_an_earlier_one_of_a_spec_around_it() {
    let text = "((build a((from x)))(build b((build c((from x)(copy(from(build a))(src s)(dst d))))(from x)))(from x))";
    assert_eq!(told(text), text);
}

fn word() -> impl Strategy<Value = OsString> {
    proptest::collection::vec(1_u8.., 0..8).prop_map(std::os::unix::ffi::OsStringExt::from_vec)
}

/// A variable's.
fn name() -> impl Strategy<Value = OsString> {
    let byte = (1_u8..).prop_filter("not =", |byte| *byte != b'=');
    proptest::collection::vec(byte, 1..8).prop_map(std::os::unix::ffi::OsStringExt::from_vec)
}

fn words() -> impl Strategy<Value = Vec<OsString>> {
    proptest::collection::vec(word(), 0..3)
}

fn mounts() -> impl Strategy<Value = Vec<Mount>> {
    let options = proptest::collection::vec((word(), word()), 0..3);
    let mount = (word(), word(), options).prop_map(|(id, target, buildkit_options)| Mount {
        id,
        target,
        buildkit_options,
    });
    proptest::collection::vec(mount, 0..3)
}

fn any_op() -> impl Strategy<Value = Op> {
    let run = (mounts(), words(), mounts(), word())
        .prop_map(|(cache, network, secrets, shell)| Op::Run(Run { cache, network, secrets, shell }));
    let copy = (words(), word(), words())
        .prop_map(|(src, dst, exclude)| Op::Copy(Copy { from: CopyFrom::Context, src, dst, exclude }));
    prop_oneof![
        word().prop_map(Op::Comment),
        word().prop_map(Op::Workdir),
        words().prop_map(Op::Shell),
        run,
        copy,
        any::<(u32, u32)>().prop_map(|(uid, gid)| Op::User(User::Unix { uid, gid })),
        word().prop_map(|name| Op::User(User::Windows(name))),
        (name(), word()).prop_map(|(name, value)| Op::Env(name, value)),
    ]
}

fn any_spec() -> impl Strategy<Value = Spec> {
    let stage = |builds| {
        (builds, word(), proptest::collection::vec(any_op(), 0..5)).prop_map(|(builds, from, ops)| Spec {
            builds,
            from,
            ops,
        })
    };
    let inner = proptest::collection::vec((word(), stage(Just(vec![]).boxed())), 0..3).boxed();
    stage(inner)
}

proptest! {
    #[test]
    fn any_spec_is_read_back_as_it_was_written(spec in any_spec()) {
        prop_assert_eq!(Spec::parse(&printer::to_machine(&to_sexp::spec(&spec))), Ok(spec));
    }

    #[test]
    fn any_heading_reads_back_as_its_operation(op in any_op()) {
        let spec = [b"((from b)".to_vec(), heading::op_alone(&op), b")".to_vec()].concat();
        prop_assert_eq!(Spec::parse(&spec).map(|spec| spec.ops), Ok(vec![op]));
    }

    #[test]
    fn what_looks_like_a_spec_is_read_or_refused(text in r#"\(\(from a\)(\((run|copy|env|user|x|Run|shell)( |\(|\)|shell|src|a|"b")*\))*\)"#) {
        let _ = Spec::parse(text.as_bytes());
    }
}
