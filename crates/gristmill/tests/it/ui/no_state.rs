use gristmill::{App, Context, Result, task};

#[derive(Clone)]
struct Mailer;

#[task(name = "email.send")]
async fn send_email(cx: &Context<Mailer>, to: String) -> Result<()> {
    let (Mailer, _) = (&cx.state, to);
    Ok(())
}

fn main() {
    let _ = App::new("no mailer").register::<SendEmail>();
}
