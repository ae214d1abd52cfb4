use gristmill_core::limits;
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::token::Paren;
use syn::{Error, Expr, Ident, LitStr, Path, Result, Token, Type, parenthesized};

use crate::value;
use crate::version::Version;

/// What stands between the brackets of `#[task(...)]`.
pub(crate) struct Options {
    /// Where the crate `gristmill` is found.
    pub(crate) krate: Path,
    pub(crate) name: LitStr,
    /// `state` and `output`, which only `#[derive(Task)]` takes; a function says them in its signature.
    pub(crate) state: Option<Type>,
    pub(crate) output: Option<Type>,
    /// What a task is called for people: a text with fields in braces, or a function of the task.
    pub(crate) title: Option<Expr>,
    /// Whether the code is in another program; only `#[derive(Task)]` takes it.
    pub(crate) elsewhere: bool,
    /// Whether the handler takes many tasks in one call; only `#[derive(Task)]` takes it.
    pub(crate) batch: bool,
    pub(crate) version: Version,
    /// Fields of `Policy` with their values; what is not given keeps the default.
    pub(crate) policy: Vec<(Ident, TokenStream)>,
}

/// Every option, with an example that an error can show.
const OPTIONS: [(&str, &str); 28] = [
    ("name", "name = \"mail.send\""),
    ("queue", "queue = \"mail\""),
    ("priority", "priority = 5"),
    ("max_attempts", "max_attempts = 5"),
    ("max_crashes", "max_crashes = 3"),
    ("backoff", "backoff = exponential(\"2s\", max = \"1h\")"),
    ("timeout", "timeout = \"30s\""),
    ("kill_after", "kill_after = \"10s\""),
    ("expires", "expires = \"1h\""),
    ("ack", "ack = late"),
    ("retention", "retention = \"7d\""),
    ("large_result", "large_result = fail"),
    ("on_error", "on_error = rollback"),
    ("tags", "tags = [\"a\", \"b\"]"),
    ("title", "title = \"{subject} to {to}\""),
    ("quiet", "quiet"),
    ("concurrency", "concurrency = limit(4, key = \"{tenant}\")"),
    ("sequence", "sequence = \"account:{account}\""),
    ("rate", "rate(key = \"api:{host}\", limit = \"10/s\", burst = 5)"),
    ("unique", "unique = \"sync:{repo}\""),
    ("debounce", "debounce(key = \"notify:{user}\", wait = \"5s\")"),
    ("version", "version = 2"),
    ("upgrade", "upgrade = from_older"),
    ("crate", "crate = gristmill"),
    ("state", "state = Mailer"),
    ("output", "output = Receipt"),
    ("elsewhere", "elsewhere"),
    ("batch", "batch(size = 1000, wait = \"200ms\")"),
];

/// Those of [`OPTIONS`] at its end that only `#[derive(Task)]` takes.
const ONLY_DERIVE: usize = 4;

/// One option as it is written.
pub(crate) struct Given {
    key: Ident,
    value: Value,
}

enum Value {
    None,
    Expr(Expr),
    Type(Type),
    /// Named values in brackets.
    Named(Vec<(Ident, Expr)>),
}

impl Options {
    /// Reads all options. `example` is the name that an error proposes if there is none; `at` is where it is shown.
    pub(crate) fn read(given: Vec<Given>, derive: bool, example: &str, at: Span) -> Result<Self> {
        let mut seen: Vec<Ident> = Vec::new();
        for Given { key, .. } in &given {
            check_key(key, derive)?;
            if seen.contains(key) {
                return Err(Error::new(key.span(), format!("`{key}` is given twice; keep one")));
            }
            seen.push(key.clone());
        }
        let krate = match given.iter().find(|option| option.key == "crate") {
            Some(Given { key, value }) => value::path(key, expression(key, value)?)?,
            None => syn::parse_quote!(::gristmill),
        };
        let (mut name, mut state, mut output, mut title) = (None, None, None, None);
        let (mut elsewhere, mut batch, mut policy, mut rules) = (false, false, Vec::new(), Vec::new());
        let mut version = Version::default();
        for Given { key, value } in given {
            match (key.to_string().as_str(), &value) {
                ("crate", _) => {}
                ("state", Value::Type(ty)) => state = Some(ty.clone()),
                ("output", Value::Type(ty)) => output = Some(ty.clone()),
                ("name", value) => name = Some(value::name(&key, expression(&key, value)?)?),
                ("title", value) => title = Some(value::title(&key, expression(&key, value)?)?),
                ("version", value) => version.read(&key, expression(&key, value)?)?,
                ("upgrade", value) => version.read_upgrade(&key, expression(&key, value)?)?,
                ("elsewhere", Value::None) => elsewhere = true,
                ("elsewhere", Value::Type(_) | Value::Expr(_) | Value::Named(_)) => {
                    return Err(Error::new(key.span(), "`elsewhere` has no value: write it alone"));
                }
                ("batch", value) => {
                    let value = match value {
                        Value::Named(named) => value::batch(&krate, &key, named)?,
                        value => expression(&key, value)?.to_token_stream(),
                    };
                    policy.push((key, quote!(::core::option::Option::Some(#value))));
                    batch = true;
                }
                ("quiet", Value::None) => policy.push((key, quote!(true))),
                ("concurrency", value) => rules.extend(value::rules(&krate, &key, expression(&key, value)?)?),
                ("sequence", value) => rules.push(value::sequence(&krate, &key, expression(&key, value)?)?),
                ("unique", value) => {
                    let value = match value {
                        Value::Named(named) => value::unique_of(&krate, &key, named)?,
                        value => value::unique(&krate, &key, expression(&key, value)?)?,
                    };
                    policy.push((key, quote!(::core::option::Option::Some(#value))));
                }
                ("rate", value) => {
                    let value = match value {
                        Value::Named(named) => value::rate_of(&krate, &key, named)?,
                        value => value::rates(&krate, &key, expression(&key, value)?)?,
                    };
                    policy.push((key, value));
                }
                ("debounce", value) => {
                    let value = match value {
                        Value::Named(named) => value::debounce(&krate, &key, named)?,
                        value => expression(&key, value)?.to_token_stream(),
                    };
                    policy.push((key, quote!(::core::option::Option::Some(#value))));
                }
                (field, value) => {
                    let value = policy_field(&krate, field, &key, expression(&key, value)?)?;
                    policy.push((key, value));
                }
            }
        }
        if !rules.is_empty() {
            policy.push((Ident::new("concurrency", at), quote!(::std::vec::Vec::from([#(#rules),*]))));
        }
        let name = name.ok_or_else(|| {
            Error::new(at, format!("a task needs a name that never changes: write `#[task(name = \"{example}\")]`"))
        })?;
        version.check(&name, elsewhere)?;
        Ok(Self { krate, name, state, output, title, elsewhere, batch, version, policy })
    }
}

fn policy_field(krate: &Path, field: &str, key: &Ident, value: &Expr) -> Result<TokenStream> {
    match field {
        "queue" => value::label(key, value),
        "priority" => value::integer(key, value, 0, limits::PRIORITY_MAX.into(), "is from 0 (first) to 9 (last)"),
        "max_attempts" | "max_crashes" => value::integer(key, value, 1, limits::ATTEMPTS_MAX.into(), "is at least 1"),
        "backoff" => value::backoff(krate, key, value),
        "timeout" | "expires" => value::limit(key, value),
        "kill_after" => value::span(key, value),
        "ack" => value::choice(&quote!(#krate::options::Ack), key, value, &[("early", "Early"), ("late", "Late")]),
        "retention" => value::retention(krate, key, value),
        "large_result" => {
            value::choice(&quote!(#krate::options::Oversize), key, value, &[("fail", "Fail"), ("truncate", "Truncate")])
        }
        "on_error" => {
            value::choice(&quote!(#krate::options::OnError), key, value, &[("rollback", "Rollback"), ("commit", "Commit")])
        }
        "tags" => value::labels(key, value),
        _ => value::flag(key, value),
    }
}

fn check_key(key: &Ident, derive: bool) -> Result<()> {
    if !derive && key == "batch" {
        let message = "`batch` is for a struct with `#[derive(Task)]`, whose `handle` takes a `Vec` of it: a function has the arguments of one task";
        return Err(Error::new(key.span(), message));
    }
    let known = if derive { &OPTIONS[..] } else { &OPTIONS[..OPTIONS.len() - ONLY_DERIVE] };
    if known.iter().any(|(name, _)| key == name) {
        return Ok(());
    }
    let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
    Err(Error::new(key.span(), format!("there is no option `{key}`; the options are {}", names.join(", "))))
}

fn expression<'v>(key: &Ident, value: &'v Value) -> Result<&'v Expr> {
    match value {
        Value::Expr(value) => Ok(value),
        _ => Err(Error::new(key.span(), format!("`{key}` needs a value: {}", example(key)))),
    }
}

/// The right form of an option, for the end of an error.
pub(crate) fn example(key: &Ident) -> String {
    let example = OPTIONS.iter().find(|(name, _)| key == name).map_or("key = value", |(_, example)| example);
    format!("write `{example}`")
}

/// `size = 1000`.
struct Named(Ident, Expr);

impl Parse for Named {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let key = input.call(Ident::parse_any)?;
        input.parse::<Token![=]>()?;
        Ok(Self(key, input.parse()?))
    }
}

impl Parse for Given {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.peek(LitStr) {
            let name: LitStr = input.parse()?;
            return Err(Error::new(name.span(), format!("options are named: write `name = {:?}`", name.value())));
        }
        let key = input.call(Ident::parse_any)?;
        let value = if ["batch", "unique", "debounce", "rate"].iter().any(|named| key == named) && input.peek(Paren) {
            let content;
            parenthesized!(content in input);
            let named = Punctuated::<Named, Token![,]>::parse_terminated(&content)?;
            Value::Named(named.into_iter().map(|Named(key, value)| (key, value)).collect())
        } else if input.parse::<Option<Token![=]>>()?.is_none() {
            if !input.is_empty() && !input.peek(Token![,]) {
                return Err(input.error(format!("expected `=` or `,` after `{key}`: {}", example(&key))));
            }
            Value::None
        } else if key == "state" || key == "output" {
            Value::Type(input.parse()?)
        } else {
            Value::Expr(input.parse()?)
        };
        Ok(Self { key, value })
    }
}
