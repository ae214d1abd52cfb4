use gristmill::Task;

#[derive(Task)]
struct NoName {
    n: u8,
}

#[derive(Task)]
#[task(name = "a")]
#[task(name = "b")]
struct Duplicate {
    n: u8,
}

#[derive(Task)]
#[task(name = "a", states = u8)]
struct Unknown {
    n: u8,
}

#[derive(Task)]
#[task(name = "a", state)]
struct NoValue {
    n: u8,
}

#[derive(Task)]
#[task(name = "a")]
enum Choice {
    A { n: u8 },
}

#[derive(Task)]
#[task(name = "a")]
struct Tuple(u8);

#[derive(Task)]
#[task(name = "a")]
struct Unit;

#[derive(Task)]
#[task(name = "a")]
struct Generic<T> {
    value: T,
}

#[derive(Task)]
#[task(name = "a")]
struct FieldOption {
    #[task(default)]
    n: u8,
}

fn main() {}
