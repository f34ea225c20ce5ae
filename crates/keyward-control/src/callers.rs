//! Callers of any account, as far as anybody may know of them.

use keyward_model::{Action, CallerId, Name};

use crate::{Actor, Control, ControlError};

/// A caller of some account: what its id tells whoever has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignCaller {
    /// Its id.
    pub id: CallerId,
    /// Its name.
    pub name: Name,
}

/// What can be asked about callers of any account.
#[derive(Clone, Copy, Debug)]
pub struct Callers<'c> {
    pub(crate) control: &'c Control,
}

impl Callers<'_> {
    /// Looks a caller up by its exact id, whatever its account: for giving it a grant. Its id and name are all there is to see.
    ///
    /// # Errors
    /// There is none.
    pub async fn look_up(&self, actor: &Actor, id: CallerId) -> Result<ForeignCaller, ControlError> {
        actor.may("caller", Action::Show)?;
        let found = self.control.store().reader().await?.reads().caller(id).await?;
        let found = found.ok_or_else(|| ControlError::not_found(id.kind().noun(), format!("`{id}`")))?;
        Ok(ForeignCaller { id, name: found.object.name })
    }
}
