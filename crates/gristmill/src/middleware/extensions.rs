use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Context;

/// What middleware has added to the context of an attempt, each thing of a type of its own.
#[derive(Debug, Default)]
pub(crate) struct Extensions(Mutex<Vec<Arc<dyn Any + Send + Sync>>>);

impl Extensions {
    fn set(&self, value: Arc<dyn Any + Send + Sync>) {
        let mut all = self.all();
        all.retain(|one| (**one).type_id() != (*value).type_id());
        all.push(value);
    }

    fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.all().iter().find_map(|one| one.clone().downcast().ok())
    }

    fn all(&self) -> MutexGuard<'_, Vec<Arc<dyn Any + Send + Sync>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Context<S> {
    /// Adds a value to this attempt's context, for the handler and for middleware further in; it replaces one of the same type. It
    /// is in memory only: the next attempt begins without.
    ///
    /// ```
    /// use gristmill::middleware::{Middleware, Next};
    /// use gristmill::{Context, Error, Result, task};
    ///
    /// struct Tenant(String);
    ///
    /// struct Tenants;
    ///
    /// impl Middleware for Tenants {
    ///     async fn run(&self, cx: &Context, next: Next<'_>) -> Result<String> {
    ///         if let Some(name) = cx.meta().headers.get("tenant") {
    ///             cx.extend(Tenant(name.clone()));
    ///         }
    ///         next.run().await
    ///     }
    /// }
    ///
    /// #[task(name = "invoice.send")]
    /// async fn send_invoice(cx: &Context, number: u32) -> Result<()> {
    ///     let tenant = cx.extension::<Tenant>().ok_or_else(|| Error::fail("a tenant is needed"))?;
    ///     cx.log(format!("invoice {number} of {}", tenant.0));
    ///     Ok(())
    /// }
    /// ```
    pub fn extend<T: Send + Sync + 'static>(&self, value: T) {
        self.inner().extensions.set(Arc::new(value));
    }

    /// The value of this type that somebody added to the context; see [`extend`](Self::extend).
    pub fn extension<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.inner().extensions.get()
    }
}
