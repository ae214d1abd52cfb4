//! What is refused, and what is added to a group that was left open.

use super::*;

#[tokio::test]
async fn members_are_added_to_what_was_left_open_and_to_nothing_else() {
    let (test, _) = harness().await;
    let mut w = test.client().workflow("open");
    let first = w.step("first", Process { upload: 1 });
    let parts = w.each("parts", [Process::with(first.at("/lines"))]).open();
    w.step("merge", MergePages::with(parts.pages()));
    let run = w.start().await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(word(&run, "parts").await, StepWord::Running);
    assert_eq!(run.extend(&parts, (0..1_050).map(|_| Process { upload: 2 })).await.unwrap(), 1_051);
    assert_eq!(run.extend(&parts, [Process::with(first.at("/lines"))]).await.unwrap(), 1_052);
    let other = run.extend(&parts, [note_of("x")]).await.unwrap_err();
    assert!(matches!(other, StartError::Gone { .. }), "{other}");
    run.close(&parts).await.unwrap();
    run.close("parts").await.unwrap();
    let closed = run.extend(&parts, [Process { upload: 1 }]).await.unwrap_err();
    assert!(closed.to_string().contains("the step `parts`") && closed.to_string().contains("is closed"), "{closed}");
    assert!(matches!(run.close("none").await, Err(StartError::Gone { .. })));
    test.drain().await.unwrap();
    assert_eq!(run.clone().typed::<(usize, u32)>().result().await.unwrap().1, 2_102);
}

/// What is wrong with a member of which others are in already: nothing waits for what will not come.
#[tokio::test]
async fn a_group_that_can_not_be_handed_in_whole_is_cancelled() {
    let (test, _) = harness().await;
    let mut w = test.client().workflow("many");
    w.each("strict", (0..1_100).map(|n| Strict { n: if n == 1_050 { 11 } else { 1 } }));
    let error = w.start().await.unwrap_err();
    let StartError::Partly { id, cancelled: true, error } = error else { panic!("{error}") };
    assert!(error.to_string().starts_with("/steps/strict/each/1050: args/n"), "{error}");
    test.drain().await.unwrap();
    let record = test.client().workflows().get(id).await.unwrap().unwrap();
    assert_eq!(record.state, WorkflowState::Cancelled);
    // One that the others do not wait for.
    let mut w = test.client().workflow("many");
    let first = w.step("first", Process { upload: 1 });
    w.each("map", (0..1_001).map(move |n| if n == 1_000 { Process::with(first.at("/lines")) } else { Process::with(1) }));
    let error = w.start().await.unwrap_err().to_string();
    assert!(error.contains("/steps/map/each/1000: args: refer to the step `first`"), "{error}");
    // One that needs more of it.
    let mut w = test.client().workflow("many");
    let first = w.step("first", note_of("a"));
    let rest = first.clone();
    let pairs = (0..1_001).map(move |n| match n {
        1_000 => Pair::with(rest.outcome(), rest.result()),
        _ => Pair::with(rest.outcome(), "then"),
    });
    w.each("pairs", pairs);
    let error = w.start().await.unwrap_err().to_string();
    assert!(error.contains("/steps/pairs/each/1000: args: need the success of the step `first`"), "{error}");
    let note = |text: Value| MemberDraft::new(json!({ "text": text }));
    let mut notes = vec![note(json!("a")); 1_001];
    notes.push(note(json!({ "$result": "few" })));
    let after = vec![("few".to_owned(), Needs::Success)];
    let steps = vec![
        StepDraft::group("few", "note", vec![note(json!("b"))]),
        StepDraft { after, ..StepDraft::group("notes", "note", notes) },
    ];
    let draft = Draft { name: "many".into(), steps, ..Draft::default() };
    let error = test.client().workflows().draft(draft).await.unwrap_err().to_string();
    assert!(error.contains("/steps/notes/each/1001: args: refer to the result of `few`, which is a group"), "{error}");
}

/// As the first ones may.
#[tokio::test]
async fn members_that_are_added_refer_to_whatever_has_ended_by_then() {
    let (test, world) = harness().await;
    let mut w = test.client().workflow("open");
    let first = w.step("first", note_of("first"));
    let second = w.step("second", Note::with(first.result()));
    let notes = w.each("notes", [note_of("given")]).after(&second).open();
    let run = w.start().await.unwrap();
    run.extend(&notes, [Note::with(first.result())]).await.unwrap();
    run.close(&notes).await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(world.probe.seen().len(), 4);
    assert_eq!(run.result().await.unwrap(), json!(["given", "first"]));
}

/// It may have a step of the same name.
#[tokio::test]
async fn a_step_of_another_workflow_is_refused() {
    let (test, _) = harness().await;
    let mut other = test.client().workflow("other");
    let note = other.step("note", note_of("a"));
    other.start().await.unwrap();
    let start = |write: &dyn Fn(&mut Workflow<'_>)| {
        let mut w = test.client().workflow("mine");
        w.step("note", note_of("b"));
        write(&mut w);
        w.start()
    };
    let expected = "/steps/mine: args: refer to the step `note` of another workflow";
    let error = start(&|w| drop(w.step("mine", Note::with(note.result())))).await.unwrap_err().to_string();
    assert!(error.starts_with(expected), "{error}");
    let error = start(&|w| drop(w.step("mine", note_of("c")).after(&note))).await.unwrap_err().to_string();
    assert!(error.starts_with("/steps/mine: after: names the step `note` of another workflow"), "{error}");
    let error = start(&|w| drop(w.each("mine", [Note::with(note.result())]))).await.unwrap_err().to_string();
    assert!(error.contains("refer to the step `note` of another workflow"), "{error}");
}

#[tokio::test]
async fn an_id_is_of_one_task() {
    let (test, _) = harness().await;
    let id = gristmill::TaskId::new();
    let mut w = test.client().workflow("one");
    w.step("note", note_of("a")).set(|options| options.id = Some(id));
    w.start().await.unwrap();
    assert!(test.client().tasks().get(id).await.unwrap().is_some());
    let mut w = test.client().workflow("group");
    w.each("notes", [note_of("a")]).set(|options| options.id = Some(id));
    let error = w.start().await.unwrap_err().to_string();
    assert!(error.starts_with("/steps/notes: id: is of one task alone"), "{error}");
    let error = test.client().workflow("all").set(|options| options.id = Some(id)).start().await.unwrap_err().to_string();
    assert!(error.starts_with("id: is of one task alone"), "{error}");
}

#[tokio::test]
async fn arguments_of_single_steps_are_bounded_together() {
    let (test, _) = harness().await;
    let mut w = test.client().workflow("large");
    let text = "x".repeat(200 * 1024);
    for number in 0..90 {
        w.step(number.to_string(), note_of(&text));
    }
    let error = w.start().await.unwrap_err().to_string();
    assert!(error.starts_with("members: of steps with one have 184"), "{error}");
}

#[tokio::test]
async fn what_is_wrong_is_told_before_anything_is_kept() {
    let (test, _) = harness().await;
    let client = test.client();
    let build = |write: Write<'_>| {
        let mut w = client.workflow("wrong");
        write(&mut w);
        w.start()
    };
    let refused: [(Write<'_>, &str); 7] = [
        (
            &|w| {
                let (a, b) = (w.step("a", note_of("a")), w.step("b", note_of("b")));
                a.clone().after(&b);
                b.after(&a);
            },
            "/steps/a/after: waits for itself",
        ),
        (&|w| [w.step("a", note_of("a")), w.step("a", note_of("b"))].map(drop).into_iter().collect(), "/steps/a: is there twice"),
        (&|w| drop(w.step("", note_of("a"))), "/steps/: its name"),
        (
            &|w| {
                w.step("a", Flag::with("abc", w.failure()));
            },
            "/steps/a/args: refers to the failure of the workflow",
        ),
        (&|w| drop(w.step("a", Strict { n: 11 })), "/steps/a: args/n"),
        (&|w| drop(w.each("a", [Strict { n: 1 }, Strict { n: 11 }])), "/steps/a/each/1: args/n"),
        (&|w| drop(w.step("a", note_of("a")).priority(10)), "/steps/a: priority"),
    ];
    for (write, says) in refused {
        let error = build(write).await.unwrap_err().to_string();
        assert!(error.starts_with(says), "{error}");
    }
    let nested = (0..200).fold(json!(1), |inner, _| json!([inner]));
    let mut w = client.workflow("deep");
    w.step("any", Any { value: nested });
    assert_eq!(w.start().await.unwrap_err().to_string(), "/steps/any: args: nests deeper than 128 levels");
    let many = client.workflow("x".repeat(300)).start().await.unwrap_err();
    assert!(many.to_string().starts_with("/name: "), "{many}");
    // A value from outside must not read results.
    let mut w = client.workflow("outside");
    w.step("any", Any { value: json!([{ "$result": "secret" }]) });
    let error = w.start().await.unwrap_err().to_string();
    assert!(error.starts_with("/steps/any: args: have an object with the key `$result`"), "{error}");
    let mut w = client.workflow("outside");
    w.step("any", Any::with(json!({ "$failure": 7 })));
    let error = w.start().await.unwrap_err().to_string();
    assert!(error.starts_with("/steps/any: args/value: have an object"), "{error}");
    assert!(client.workflows().list(&WorkflowFilter::default(), None, 10).await.unwrap().items.is_empty());
    assert!(client.tasks().list(&Filter::default(), None, 10).await.unwrap().items.is_empty());
}
