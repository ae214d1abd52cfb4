use gristmill_core::{Effects, TaskId};

/// What an operation has to tell once it is committed; nothing, if it is not.
#[derive(Debug, Default)]
pub(crate) struct Tidings {
    /// To whoever waits, here and in other processes.
    pub(crate) effects: Effects,
    /// To this process.
    pub(crate) own: Own,
}

/// What only the process itself wants to know.
#[derive(Debug, Default)]
pub(crate) struct Own {
    /// These ended and nobody who made it happen says so, as they expired or crashed once too often.
    pub(crate) untold: Vec<TaskId>,
    /// Tasks came back to these places in line, which the floors of claims may have passed: queue, priority, number.
    pub(crate) returned: Vec<(i32, i16, i64)>,
    /// Tasks came back, and nobody says where.
    pub(crate) returned_somewhere: bool,
}
