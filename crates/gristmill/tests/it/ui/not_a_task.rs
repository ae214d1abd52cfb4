use gristmill::App;

struct SendEmail {
    to: String,
}

fn main() {
    let _ = SendEmail { to: String::new() }.to;
    let _ = App::new(()).register::<SendEmail>();
}
