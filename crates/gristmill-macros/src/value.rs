//! The values of options. A literal is checked here, at compile time; any other expression is left to the compiler, and
//! its value is checked when the task is registered.

use gristmill_core::concurrency::PerTime;
use gristmill_core::{Batching, Template, limits, parse_duration};
use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Error, Expr, ExprAssign, Ident, Lit, LitStr, Path, Result, UnOp};

use crate::options::example;

/// The name of the task type: a literal, so that it can be found in the code.
pub(crate) fn name(key: &Ident, value: &Expr) -> Result<LitStr> {
    match bare(value) {
        Expr::Lit(lit) => match &lit.lit {
            Lit::Str(text) => checked(key, text).cloned(),
            lit => wrong(lit, key, "is a string literal"),
        },
        value => wrong(value, key, "is a string literal"),
    }
}

/// The name of a queue, or a tag.
pub(crate) fn label(key: &Ident, value: &Expr) -> Result<TokenStream> {
    let text = match literal(value) {
        Some(Lit::Str(text)) => checked(key, text)?.to_token_stream(),
        Some(lit) => return wrong(lit, key, "is a string"),
        None => value.to_token_stream(),
    };
    Ok(quote!(::std::string::String::from(#text)))
}

pub(crate) fn labels(key: &Ident, value: &Expr) -> Result<TokenStream> {
    let Expr::Array(list) = bare(value) else { return wrong(value, key, "is a list of strings") };
    if list.elems.len() > limits::LABELS_MAX {
        return Err(Error::new_spanned(list, format!("`{key}` holds at most {} of them", limits::LABELS_MAX)));
    }
    let labels = list.elems.iter().map(|value| label(key, value)).collect::<Result<Vec<_>>>()?;
    Ok(quote!(::std::vec::Vec::from([#(#labels),*])))
}

pub(crate) fn integer(key: &Ident, value: &Expr, min: u64, max: u64, range: &str) -> Result<TokenStream> {
    match bare(value) {
        Expr::Lit(lit) => match &lit.lit {
            Lit::Int(number) if number.base10_parse().is_ok_and(|number: u64| (min..=max).contains(&number)) => {}
            lit => return wrong(lit, key, range),
        },
        Expr::Unary(negative) if matches!(negative.op, UnOp::Neg(_)) => return wrong(negative, key, range),
        _ => {}
    }
    Ok(value.to_token_stream())
}

pub(crate) fn flag(key: &Ident, value: &Expr) -> Result<TokenStream> {
    match literal(value) {
        Some(Lit::Bool(_)) | None => Ok(value.to_token_stream()),
        Some(lit) => wrong(lit, key, "is a flag, or `true` or `false`"),
    }
}

/// One of a few words, or an expression of the type.
pub(crate) fn choice(ty: &TokenStream, key: &Ident, value: &Expr, words: &[(&str, &str)]) -> Result<TokenStream> {
    let Expr::Path(path) = bare(value) else { return wrong(value, key, &one_of(words)) };
    let Some(word) = path.path.get_ident() else { return Ok(path.to_token_stream()) };
    let Some((_, variant)) = words.iter().find(|(name, _)| word == name) else { return wrong(word, key, &one_of(words)) };
    let variant = Ident::new(variant, word.span());
    Ok(quote!(#ty::#variant))
}

/// A text with fields in braces, or the path of a function that makes one of the task.
pub(crate) fn title(key: &Ident, value: &Expr) -> Result<Expr> {
    let value = bare(value);
    match value {
        Expr::Path(_) => Ok(value.clone()),
        Expr::Lit(lit) if matches!(lit.lit, Lit::Str(_)) => Ok(value.clone()),
        value => wrong(value, key, "is a text with arguments in braces, or the path of a function"),
    }
}

/// A duration that is not optional where it is given.
pub(crate) fn span(key: &Ident, value: &Expr) -> Result<TokenStream> {
    let span = duration(key, value)?;
    Ok(quote!(::core::option::Option::Some(#span)))
}

/// A duration that may also be `"none"`.
pub(crate) fn limit(key: &Ident, value: &Expr) -> Result<TokenStream> {
    match literal(value) {
        Some(Lit::Str(text)) if text.value() == "none" => Ok(quote!(::core::option::Option::None)),
        _ => {
            let limit = duration(key, value)?;
            Ok(quote!(::core::option::Option::Some(#limit)))
        }
    }
}

pub(crate) fn retention(krate: &Path, key: &Ident, value: &Expr) -> Result<TokenStream> {
    let Some(lit) = literal(value) else { return Ok(value.to_token_stream()) };
    match lit {
        Lit::Str(text) if text.value() == "none" => Ok(quote!(#krate::options::Retention::None)),
        Lit::Str(text) if text.value() == "forever" => Ok(quote!(#krate::options::Retention::Forever)),
        _ => {
            let period = duration(key, value)?;
            Ok(quote!(#krate::options::Retention::For(#period)))
        }
    }
}

const BACKOFFS: &str = "is `exponential(\"2s\", max = \"1h\", jitter = true)`, `fixed(\"5s\")` or `list(\"1s\", \"10s\")`";

pub(crate) fn backoff(krate: &Path, key: &Ident, value: &Expr) -> Result<TokenStream> {
    let call = match bare(value) {
        Expr::Call(call) => call,
        Expr::Lit(_) => return wrong(value, key, BACKOFFS),
        value => return Ok(value.to_token_stream()),
    };
    let form = match &*call.func {
        Expr::Path(path) => path.path.get_ident().map(Ident::to_string),
        _ => None,
    };
    let steps: Vec<_> = call.args.iter().collect();
    match (form.as_deref(), &*steps) {
        (Some("fixed"), [delay]) => {
            let delay = duration(key, delay)?;
            Ok(quote!(#krate::options::Backoff::Fixed(#delay)))
        }
        (Some("list"), [_, ..]) => {
            let steps = steps.into_iter().map(|step| duration(key, step)).collect::<Result<Vec<_>>>()?;
            Ok(quote!(#krate::options::Backoff::List(::std::vec::Vec::from([#(#steps),*]))))
        }
        (Some("exponential"), [base, named @ ..]) => exponential(krate, key, base, named),
        // A function of the user's own is written with its path, so that a slip in these three words is told as one.
        (None, _) => Ok(call.to_token_stream()),
        (Some(_), _) => wrong(call, key, BACKOFFS),
    }
}

const BATCH: &str = "takes `size`, `wait` and, if wanted, `key`";

/// `batch(size = 1000, wait = "200ms", key = "{tenant}")`.
pub(crate) fn batch(krate: &Path, key: &Ident, named: &[(Ident, Expr)]) -> Result<TokenStream> {
    let (mut size, mut wait, mut by) = (None, None, None);
    for (name, value) in named {
        let (slot, value) = match name.to_string().as_str() {
            "size" => {
                let range = format!("has a `size` of at least 1 and at most {}", limits::BATCH_SIZE_MAX);
                (&mut size, integer(key, value, 1, limits::BATCH_SIZE_MAX as u64, &range)?)
            }
            "wait" => (&mut wait, batch_wait(key, value)?),
            "key" => (&mut by, batch_key(krate, key, value)?),
            _ => return wrong(name, key, BATCH),
        };
        if slot.replace(value).is_some() {
            return Err(Error::new(name.span(), format!("`{name}` is given twice; keep one")));
        }
    }
    let (Some(size), Some(wait)) = (size, wait) else { return wrong(key, key, BATCH) };
    let by = by.unwrap_or_else(|| quote!(::core::option::Option::None));
    Ok(quote!(#krate::options::Batching { size: #size, wait: #wait, key: #by }))
}

fn batch_wait(key: &Ident, value: &Expr) -> Result<TokenStream> {
    let wait = duration(key, value)?;
    if let Some(Lit::Str(text)) = literal(value)
        && let Ok(given) = parse_duration(&text.value())
    {
        Batching::new(1, given).check().map_err(|error| Error::new(text.span(), format!("`{key}`: {}", error.problem)))?;
    }
    Ok(wait)
}

/// A text with arguments in braces, or an expression of the type.
fn batch_key(krate: &Path, key: &Ident, value: &Expr) -> Result<TokenStream> {
    match literal(value) {
        Some(Lit::Str(text)) => {
            let checked = text.value().parse::<Template>();
            checked.map_err(|error| Error::new(text.span(), format!("`{key}`: its key {}", error.problem)))?;
            Ok(quote!(::core::option::Option::Some(#krate::__private::template(#text))))
        }
        Some(lit) => wrong(lit, key, "has a `key` that is a text with arguments in braces"),
        None => Ok(quote!(::core::option::Option::Some(#value))),
    }
}

fn exponential(krate: &Path, key: &Ident, base: &Expr, named: &[&Expr]) -> Result<TokenStream> {
    let base = duration(key, base)?;
    let (mut max, mut jitter) = (None, None);
    for argument in named {
        let Expr::Assign(ExprAssign { left, right, .. }) = argument else { return wrong(argument, key, BACKOFFS) };
        let name = match &**left {
            Expr::Path(path) => path.path.get_ident().map(Ident::to_string),
            _ => None,
        };
        let (slot, value) = match name.as_deref() {
            Some("max") => (&mut max, duration(key, right)?),
            Some("jitter") => (&mut jitter, right.to_token_stream()),
            _ => return wrong(left, key, BACKOFFS),
        };
        if slot.replace(value).is_some() {
            return Err(Error::new_spanned(left, format!("`{}` is given twice; keep one", left.to_token_stream())));
        }
    }
    let max = max.unwrap_or_else(|| quote!(::core::time::Duration::from_secs(3600)));
    let jitter = jitter.unwrap_or_else(|| quote!(true));
    Ok(quote!(#krate::options::Backoff::Exponential { base: #base, max: #max, jitter: #jitter }))
}

const RULES: &str =
    "is one of `limit(4)`, `limit(4, key = \"{tenant}\", cost = \"{size}\", on_excess = wait)`, or a list of such";

/// Rules of how many may run at once.
pub(crate) fn rules(krate: &Path, key: &Ident, value: &Expr) -> Result<Vec<TokenStream>> {
    match bare(value) {
        Expr::Array(list) => list.elems.iter().map(|value| rule(krate, key, value)).collect(),
        value => Ok(vec![rule(krate, key, value)?]),
    }
}

fn rule(krate: &Path, key: &Ident, value: &Expr) -> Result<TokenStream> {
    let call = match bare(value) {
        Expr::Call(call) => call,
        Expr::Lit(_) => return wrong(value, key, RULES),
        value => return Ok(value.to_token_stream()),
    };
    let Expr::Path(path) = &*call.func else { return wrong(call, key, RULES) };
    let Some(form) = path.path.get_ident() else { return Ok(call.to_token_stream()) };
    let args: Vec<_> = call.args.iter().collect();
    let (true, [limit, named @ ..]) = (form == "limit", &*args) else { return wrong(call, key, RULES) };
    let limit = quantity(krate, key, limit)?;
    let default = || quote!(::std::default::Default::default());
    let (mut of, mut cost, mut on_excess) = (quote!(::std::option::Option::None), default(), default());
    for named in named {
        let Expr::Assign(assign) = named else { return wrong(named, key, RULES) };
        match &*assign.left {
            Expr::Path(name) if name.path.is_ident("key") => {
                let template = template(krate, key, &assign.right)?;
                of = quote!(::std::option::Option::Some(#template));
            }
            Expr::Path(name) if name.path.is_ident("cost") => cost = quantity(krate, key, &assign.right)?,
            Expr::Path(name) if name.path.is_ident("on_excess") => {
                let forms = [
                    ("wait", "Wait"),
                    ("drop", "Drop"),
                    ("keep_newest", "KeepNewest"),
                    ("keep_oldest", "KeepOldest"),
                    ("cancel_running", "CancelRunning"),
                ];
                on_excess = choice(&quote!(#krate::options::OnExcess), key, &assign.right, &forms)?;
            }
            _ => return wrong(named, key, RULES),
        }
    }
    let concurrency = quote!(#krate::options::Concurrency);
    Ok(quote!(#concurrency { key: #of, cost: #cost, limit: #limit, on_excess: #on_excess, ..#concurrency::of_type(1) }))
}

/// A key whose tasks run one after the other.
pub(crate) fn sequence(krate: &Path, key: &Ident, value: &Expr) -> Result<TokenStream> {
    let template = template(krate, key, value)?;
    Ok(quote!(#krate::options::Concurrency::sequence(#template)))
}

const UNIQUE: &str = "is a key such as \"sync:{repo}\", or `unique(key = \"sync:{repo}\", until = ended, on_conflict = existing)`: \
                      until is `ended`, `started` or a duration such as \"1h\", on_conflict is `existing`, `reject`, `run_after`, `replace` or `collect`, with `list = \"items\"`";

/// A key that one task has at once.
pub(crate) fn unique(krate: &Path, key: &Ident, value: &Expr) -> Result<TokenStream> {
    match literal(value) {
        Some(_) => {
            let template = template(krate, key, value)?;
            Ok(quote!(#krate::options::Unique::by(#template)))
        }
        None => Ok(value.to_token_stream()),
    }
}

/// The same with what is said of it.
pub(crate) fn unique_of(krate: &Path, key: &Ident, named: &[(Ident, Expr)]) -> Result<TokenStream> {
    let unique = quote!(#krate::options::Unique);
    let mut rule = quote!(#unique::of_type());
    let mut seen: Vec<&Ident> = Vec::new();
    for (name, value) in named {
        if seen.contains(&name) {
            return Err(Error::new(name.span(), format!("`{name}` is given twice; keep one")));
        }
        seen.push(name);
        rule = match name.to_string().as_str() {
            "key" => {
                let template = template(krate, key, value)?;
                quote!(#unique { key: ::core::option::Option::Some(#template), ..#rule })
            }
            "until" => {
                let until = match literal(value) {
                    Some(_) => {
                        let period = duration(key, value)?;
                        quote!(#krate::options::Until::For(#period))
                    }
                    None => choice(&quote!(#krate::options::Until), key, value, &[("ended", "Ended"), ("started", "Started")])?,
                };
                quote!(#rule.until(#until))
            }
            "on_conflict" => {
                let forms = [
                    ("existing", "Existing"),
                    ("reject", "Reject"),
                    ("run_after", "RunAfter"),
                    ("replace", "Replace"),
                    ("collect", "Collect"),
                ];
                let on_conflict = choice(&quote!(#krate::options::OnConflict), key, value, &forms)?;
                quote!(#rule.on_conflict(#on_conflict))
            }
            "list" => {
                quote!(#unique { list: ::core::option::Option::Some(::std::string::ToString::to_string(#value)), ..#rule })
            }
            _ => return wrong(name, key, UNIQUE),
        };
    }
    Ok(rule)
}

const DEBOUNCE: &str =
    "is `debounce(key = \"notify:{user}\", wait = \"5s\", max_wait = \"1m\")`, of which `wait` has to be there";

/// One task of many enqueues.
pub(crate) fn debounce(krate: &Path, key: &Ident, named: &[(Ident, Expr)]) -> Result<TokenStream> {
    let none = || quote!(::core::option::Option::None);
    let (mut of, mut wait, mut max_wait) = (None, None, None);
    for (name, value) in named {
        let (slot, value) = match name.to_string().as_str() {
            "key" => {
                let template = template(krate, key, value)?;
                (&mut of, quote!(::core::option::Option::Some(#template)))
            }
            "wait" => (&mut wait, duration(key, value)?),
            "max_wait" => {
                let most = duration(key, value)?;
                (&mut max_wait, quote!(::core::option::Option::Some(#most)))
            }
            _ => return wrong(name, key, DEBOUNCE),
        };
        if slot.replace(value).is_some() {
            return Err(Error::new(name.span(), format!("`{name}` is given twice; keep one")));
        }
    }
    let Some(wait) = wait else { return wrong(key, key, DEBOUNCE) };
    let (of, max_wait) = (of.unwrap_or_else(none), max_wait.unwrap_or_else(none));
    Ok(quote!(#krate::options::Debounce { key: #of, wait: #wait, max_wait: #max_wait }))
}

const RATE: &str = "is a rate such as \"10/s\", or `rate(key = \"api:{host}\", limit = \"10/s\", burst = 5, cost = \"{size}\")`; \
                    with `strategy = sliding_window` there is no burst";

/// How many may begin in a time.
pub(crate) fn rates(krate: &Path, key: &Ident, value: &Expr) -> Result<TokenStream> {
    match literal(value) {
        Some(_) => {
            let limit = per_time(krate, key, value)?;
            Ok(quote!(::std::vec::Vec::from([#krate::options::Rate::of_type(#limit)])))
        }
        None => Ok(value.to_token_stream()),
    }
}

/// The same with what is said of it.
pub(crate) fn rate_of(krate: &Path, key: &Ident, named: &[(Ident, Expr)]) -> Result<TokenStream> {
    let (mut limit, mut parts): (_, Vec<(&Ident, TokenStream)>) = (None, Vec::new());
    for (name, value) in named {
        let part = match name.to_string().as_str() {
            "limit" => {
                if limit.replace(per_time(krate, key, value)?).is_some() {
                    return Err(Error::new(name.span(), "`limit` is given twice; keep one"));
                }
                continue;
            }
            "key" => {
                let template = template(krate, key, value)?;
                quote!(::core::option::Option::Some(#template))
            }
            "burst" => {
                let burst = integer(key, value, 1, limits::CONCURRENCY_MAX.into(), "has a burst from 1 on")?;
                quote!(::core::option::Option::Some(#burst))
            }
            "cost" => quantity(krate, key, value)?,
            "strategy" => {
                let forms = [("token_bucket", "TokenBucket"), ("sliding_window", "SlidingWindow")];
                choice(&quote!(#krate::options::Strategy), key, value, &forms)?
            }
            _ => return wrong(name, key, RATE),
        };
        if parts.iter().any(|(before, _)| *before == name) {
            return Err(Error::new(name.span(), format!("`{name}` is given twice; keep one")));
        }
        parts.push((name, part));
    }
    let Some(limit) = limit else { return wrong(key, key, RATE) };
    let (names, values): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    let rate = quote!(#krate::options::Rate);
    Ok(quote!(::std::vec::Vec::from([#rate { #(#names: #values,)* ..#rate::of_type(#limit) }])))
}

/// A number in a time. It is checked here, so that what is read again when the program runs is right.
fn per_time(krate: &Path, key: &Ident, value: &Expr) -> Result<TokenStream> {
    match literal(value) {
        Some(Lit::Str(text)) => match text.value().parse::<PerTime>() {
            Ok(_) => Ok(quote!(#krate::__private::per_time(#text))),
            Err(error) => Err(Error::new_spanned(text, format!("`{key}`: {error}"))),
        },
        Some(lit) => wrong(lit, key, RATE),
        None => Ok(value.to_token_stream()),
    }
}

/// A number, or a text with an argument in braces.
fn quantity(krate: &Path, key: &Ident, value: &Expr) -> Result<TokenStream> {
    match literal(value) {
        Some(Lit::Int(number)) => {
            let most = limits::CONCURRENCY_MAX;
            match number.base10_parse::<u32>() {
                Ok(1..=limits::CONCURRENCY_MAX) => Ok(quote!(#krate::options::Quantity::Number(#number))),
                _ => Err(Error::new_spanned(number, format!("`{key}` has numbers from 1 to {most}"))),
            }
        }
        Some(Lit::Str(_)) => {
            let template = template(krate, key, value)?;
            Ok(quote!(#krate::options::Quantity::Of(#template)))
        }
        Some(lit) => wrong(lit, key, RULES),
        None => Ok(quote!(#krate::options::Quantity::Number(#value))),
    }
}

/// A text with arguments in braces. It is checked here, so that what is read again when the program runs is right.
fn template(krate: &Path, key: &Ident, value: &Expr) -> Result<TokenStream> {
    match literal(value) {
        Some(Lit::Str(text)) => match text.value().parse::<gristmill_core::Template>() {
            Ok(_) => Ok(quote!(#krate::__private::template(#text))),
            Err(error) => Err(Error::new_spanned(text, format!("`{key}`: {error}"))),
        },
        _ => wrong(value, key, "takes a text, with arguments in braces"),
    }
}

fn duration(key: &Ident, value: &Expr) -> Result<TokenStream> {
    let text = match literal(value) {
        Some(Lit::Str(text)) => text,
        Some(lit) => return wrong(lit, key, "is a duration with its unit, in quotes"),
        None => return Ok(value.to_token_stream()),
    };
    let duration = parse_duration(&text.value()).map_err(|why| Error::new(text.span(), format!("`{key}`: {why}")))?;
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Ok(quote!(::core::time::Duration::from_millis(#ms)))
}

/// The path of the crate, with or without quotes.
pub(crate) fn path(key: &Ident, value: &Expr) -> Result<Path> {
    match bare(value) {
        Expr::Path(path) => Ok(path.path.clone()),
        Expr::Lit(lit) => match &lit.lit {
            Lit::Str(text) => text.parse(),
            lit => wrong(lit, key, "is a path"),
        },
        value => wrong(value, key, "is a path"),
    }
}

fn checked<'t>(key: &Ident, text: &'t LitStr) -> Result<&'t LitStr> {
    match limits::check_name(&format!("`{key}`"), &text.value()) {
        Ok(()) => Ok(text),
        Err(error) => Err(Error::new(text.span(), format!("`{key}` {}", error.problem))),
    }
}

fn wrong<T>(at: impl ToTokens, key: &Ident, right: &str) -> Result<T> {
    Err(Error::new_spanned(at, format!("`{key}` {right}; {}", example(key))))
}

fn one_of(words: &[(&str, &str)]) -> String {
    let words: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
    format!("is {}", words.join(" or "))
}

/// An expression without the invisible brackets that `macro_rules` puts around what it passes on.
pub(crate) fn bare(value: &Expr) -> &Expr {
    match value {
        Expr::Group(group) => bare(&group.expr),
        Expr::Paren(paren) => bare(&paren.expr),
        value => value,
    }
}

pub(crate) fn literal(value: &Expr) -> Option<&Lit> {
    match bare(value) {
        Expr::Lit(literal) => Some(&literal.lit),
        _ => None,
    }
}
