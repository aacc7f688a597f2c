//! Dockerfiles as OBuilder prints them, and as Docker is to read them.
use super::{Escape, Options, Quoting, print};
use crate::spec::Spec;

fn shown(spec: &str, options: Options) -> String {
    String::from_utf8(print(&Spec::parse(spec.as_bytes()).unwrap(), options)).unwrap()
}

const PLAIN: Options = Options { buildkit: false, escape: Escape::Unix, quoting: Quoting::Original };

fn original(spec: &str) -> String {
    shown(spec, PLAIN)
}

fn strict(ops: &str) -> String {
    let options = Options { quoting: Quoting::Strict, buildkit: true, ..PLAIN };
    let whole = shown(&format!("((from b) (shell /bin/sh -c) {ops})"), options);
    whole.strip_prefix("FROM b\nSHELL [ \"/bin/sh\", \"-c\" ]\n").unwrap().to_owned()
}

#[test]
fn each_operation_is_a_line() {
    let spec = r#"((from b) (comment "a b") (shell /bin/sh -c) (env A "x \"y\" $H \\ é") (workdir /w)
        (run (network host) (shell "echo $A")) (copy (src a b) (dst /d/) (exclude x)) (user (uid 1) (gid 2))
        (copy (src a) (dst /c)) (shell))"#;
    let lines = "FROM b\n# a b\nSHELL [ \"/bin/sh\", \"-c\" ]\nENV A=\"x \\\"y\\\" $H \\\\ é\"\nWORKDIR /w\n\
        RUN echo $A\nCOPY a b /d/\nUSER 1:2\nCOPY --chown=1:2 a /c\nSHELL [  ]\n";
    assert_eq!(original(spec), lines);
}

#[test]
fn a_backtick_escapes_on_windows() {
    let windows = Options { escape: Escape::Windows, ..PLAIN };
    let spec = "((from b) (env A \"x \\\"y\\\" \\\\ `\") (run (shell \"a\nb\")) (user (name Me)))";
    let lines = "#escape=`\nFROM b\nENV A=\"x `\"y`\" \\ ``\"\nRUN a `\n    b\nUSER Me\n";
    assert_eq!(shown(spec, windows), lines);
}

#[test]
fn stages_come_before_those_around_them_with_a_blank_line_between() {
    let spec = "((build a ((build i ((from x))) (from y) (copy (from (build i)) (src /s) (dst /d)))) (from z) \
                (copy (from (build a)) (src /s) (dst /d)))";
    let lines = "FROM x as i\n\nFROM y as a\nCOPY --from=i /s /d\n\nFROM z\nCOPY --from=a /s /d\n";
    assert_eq!(original(spec), lines);
}

#[test]
fn only_buildkit_has_mounts_secrets_first() {
    let spec = "((from b) (user (uid 5) (gid 6)) (run (cache (c (target /c) (buildkit_options ((sharing locked))))) \
                (secrets (s (target /s) (buildkit_options ((required true))))) (shell x)))";
    assert_eq!(original(spec), "FROM b\nUSER 5:6\nRUN x\n");
    let lines = "FROM b\nUSER 5:6\nRUN --mount=type=secret,id=s,target=/s,uid=5,required=true \
                 --mount=type=cache,id=c,target=/c,uid=5,sharing=locked x\n";
    assert_eq!(shown(spec, Options { buildkit: true, ..PLAIN }), lines);
}

#[test]
fn strictly_every_line_of_a_comment_is_one() {
    assert_eq!(strict("(comment \"one\ntwo\")"), "# one\n# two\n");
}

#[test]
fn strictly_a_dollar_is_no_variable() {
    assert_eq!(strict("(env A \"$HOME \\\\\")"), "ENV A=\"\\$HOME \\\\\"\n");
    assert_eq!(strict("(workdir \"/a $b\")"), "WORKDIR /a \\$b\n");
    assert_eq!(strict("(copy (src $a) (dst /$b))"), "COPY \\$a /\\$b\n");
    assert_eq!(strict("(run (shell \"echo $a\"))"), "RUN echo $a\n");
}

#[test]
fn strictly_names_with_blanks_are_whole() {
    assert_eq!(strict("(copy (src \"a b\" c) (dst \"/d e/\"))"), "COPY [\"a b\", \"c\", \"/d e/\"]\n");
    assert_eq!(strict("(workdir \"\")"), "");
    let run = "(run (cache (\"n m\" (target /c))) (shell x))";
    assert_eq!(strict(run), "RUN --mount=type=cache,id=n%20m,target=/c,uid=0 x\n");
    let spec = "((build \"two words\" ((from x))) (build Two-Words ((from y))) (from z) \
                (copy (from (build \"two words\")) (src s) (dst d)) (copy (from (build Two-Words)) (src s) (dst d)))";
    let lines = "FROM x as two-words\n\nFROM y as two-words-2\n\nFROM z\nCOPY --from=two-words s d\n\
                 COPY --from=two-words-2 s d\n";
    assert_eq!(shown(spec, Options { quoting: Quoting::Strict, ..PLAIN }), lines);
}

#[test]
fn strictly_a_command_stays_one_whatever_it_looks_like() {
    assert_eq!(
        strict("(run (shell \"a\nb \\\"c\\\"\"))"),
        "RUN [\"/bin/sh\", \"-c\", \"a\\nb \\\"c\\\"\"]\n"
    );
    for command in ["[ -e x ]", "--flag", "# x", "cat <<E", "x \\\\"] {
        let line = strict(&format!("(run (shell \"{command}\"))"));
        assert_eq!(line, format!("RUN [\"/bin/sh\", \"-c\", \"{command}\"]\n"));
    }
    let no_shell = shown("((from b) (run (shell x)))", Options { quoting: Quoting::Strict, ..PLAIN });
    assert_eq!(no_shell, "FROM b\nRUN [\"/usr/bin/env\", \"bash\", \"-c\", \"x\"]\n");
}
