//! How much of the live balances is shown.

/// What is shown of the live balances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveConfig {
    /// Levels of the node tree, from the root: 3 shows depths 0, 1 and 2.
    pub depth: u8,
    /// Whether masses of single gases are shown.
    pub gases: bool,
    /// How many series there may be at most.
    pub max_series: usize,
    /// By window index: its label. Index 0 is `open`.
    pub windows: Vec<String>,
}

impl LiveConfig {
    pub(super) fn label(&self, window: u8) -> String {
        let label = self.windows.get(usize::from(window));
        label.map_or_else(|| window.to_string(), Clone::clone)
    }
}
