//! The account of somebody whom an issuer vouches for: the one that is linked, one that is made just now, or none.

use serde_json::{Map, Value};

use super::account::{self, Username};
use crate::app::App;
use crate::audit::{Event, Kind, Outcome};
use crate::clock::Timestamp;
use crate::config::accounts::{Accounts, RoleSaid, claim};
use crate::oauth::UserId;
use crate::oauth::error::{Error, server_error};
use crate::storage::identities::{self, Identity};
use crate::storage::users::{self, Recorded, Role, RoleStatement, User};
use crate::storage::{audit, commit, undo};

/// The longest subject that is stored, in characters (OpenID Connect Core §2).
const LONGEST_SUBJECT: usize = 255;
/// The longest name that is taken from claims, in characters: with room for what tells two of a name apart.
const LONGEST_NAME: usize = 40;
/// How many names are tried for a new account.
const NAMES: usize = 4;

/// What an issuer says of somebody, its signature checked.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// Who.
    pub identity: &'a Identity,
    /// The issuer's short name here.
    pub issuer_name: &'a str,
    /// All that it says.
    pub claims: &'a Map<String, Value>,
}

impl Said<'_> {
    /// When it was said (`iat`, RFC 7519 §4.1.6): now where that is not told, and never later than now.
    fn at(&self, now: Timestamp) -> Timestamp {
        let seconds = self.claims.get("iat").and_then(Value::as_f64);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "what does not fit becomes the nearest that does"
        )]
        let said = seconds.map(|seconds| Timestamp((seconds * 1000.0) as i64));
        said.map_or(now, |said| said.min(now))
    }
}

/// Whose account it is.
#[derive(Clone, Debug)]
pub enum Resolved {
    /// This one.
    Account(Box<User>),
    /// Nobody's.
    Nobody(Nobody),
}

/// Why somebody has no account to act with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nobody {
    /// None is linked, and none is made.
    NoAccount,
    /// The claims give no role.
    NoRole,
    /// It is disabled.
    Disabled,
    /// The subject cannot be stored.
    Unusable,
}

impl Nobody {
    /// Why, in one word, for whoever watches the server.
    pub fn word(self) -> &'static str {
        match self {
            Self::NoAccount => "no_account",
            Self::NoRole => "no_role",
            Self::Disabled => "account_disabled",
            Self::Unusable => "unusable_subject",
        }
    }
}

/// Finds the account, links it, or makes it. A role that follows a claim is set at once.
pub async fn resolve(app: &App, accounts: &Accounts, said: Said<'_>) -> Result<Resolved, Error> {
    let subject = &said.identity.subject;
    if subject.is_empty() || subject.chars().count() > LONGEST_SUBJECT || subject.contains('\0') {
        return Ok(Resolved::Nobody(Nobody::Unusable));
    }
    let role = accounts.role(said.claims);
    // Of two first sign-ins at once one makes the link, and the other finds it.
    for _ in 0..2 {
        if let Some(user_id) = app.store.find_identity(said.identity).await? {
            return known(app, &user_id, said, role).await;
        }
        let (RoleSaid::Default(first) | RoleSaid::Now(first)) = role else {
            return Ok(Resolved::Nobody(Nobody::NoRole));
        };
        if let Some(user) = by_email(app, accounts, said).await? {
            if user.disabled_at.is_some() {
                return Ok(Resolved::Nobody(Nobody::Disabled));
            }
            if link(app, said, &user.user_id).await? {
                return known(app, &user.user_id, said, role).await;
            }
        } else if !accounts.create {
            return Ok(Resolved::Nobody(Nobody::NoAccount));
        } else if let Some(user) = make(app, accounts, said, first).await? {
            return Ok(Resolved::Account(Box::new(user)));
        }
    }
    Err(server_error("the server made an error").detail("an identity is neither linked nor free"))
}

async fn known(app: &App, user_id: &UserId, said: Said<'_>, role: RoleSaid) -> Result<Resolved, Error> {
    let user = find(app, user_id).await?;
    if user.disabled_at.is_some() {
        return Ok(Resolved::Nobody(Nobody::Disabled));
    }
    let user = match role {
        RoleSaid::Default(_) => Some(user),
        RoleSaid::Now(role) => follow(app, user, Some(role), said.at(app.now())).await?,
        RoleSaid::None => follow(app, user, None, said.at(app.now())).await?,
    };
    Ok(user.map_or(Resolved::Nobody(Nobody::NoRole), |user| Resolved::Account(Box::new(user))))
}

async fn find(app: &App, user_id: &UserId) -> Result<User, Error> {
    let user = app.store.find_user(user_id).await?;
    user.ok_or_else(|| server_error("the server made an error").detail("an identity leads to nobody"))
}

/// Gives the account the role of the newest statement about it; `None` where that says that it has none. Tokens are
/// taken until they end, so that an older one may come after a newer one, and must not undo what that said.
async fn follow(
    app: &App,
    mut user: User,
    role: Option<Role>,
    said_at: Timestamp,
) -> Result<Option<User>, Error> {
    let known = app.store.find_role_statement(&user.user_id).await?;
    let in_force = |known: &RoleStatement| if known.withheld { None } else { Some(user.role) };
    if let Some(known) = known.filter(|known| said_at <= known.at) {
        let said_at_once = known.at == said_at && in_force(&known) != role;
        if !said_at_once {
            // This one gives no more than it says itself.
            return Ok(in_force(&known).and(role).map(|_| user));
        }
    }
    let mut tx = app.store.write().await?;
    if !users::say_role(&mut tx, &user.user_id, role, said_at).await? {
        undo(tx).await?;
        // Something newer was said just now.
        let user = find(app, &user.user_id).await?;
        return Box::pin(follow(app, user, role, said_at)).await;
    }
    if let Some(role) = role.filter(|role| *role != user.role) {
        let what = format!("now {} as the issuer says", role.as_str());
        let event = Event::new(Kind::AccountChanged, Outcome::Done).user(&user.user_id).detail(what);
        audit::record(&mut tx, app.now(), &event);
        user.role = role;
    }
    commit(tx).await?;
    Ok(role.map(|_| user))
}

/// The account whose name is the e-mail address that the issuer has verified, where that is wanted.
async fn by_email(app: &App, accounts: &Accounts, said: Said<'_>) -> Result<Option<User>, Error> {
    let Some(email) = trusted_email(accounts, said.claims) else { return Ok(None) };
    let user = app.store.find_user_by_name(email).await?;
    // The name of no machine is an e-mail address; and should one be, nobody becomes a machine.
    let Some(user) = user.filter(|user| !user.user_id.is_machine()) else { return Ok(None) };
    let linked = app.store.list_identities(&user.user_id).await?;
    // Addresses change hands; an account that is somebody's at this issuer stays theirs.
    let is_taken = linked.iter().any(|identity| identity.issuer == said.identity.issuer);
    Ok(Some(user).filter(|_| !is_taken))
}

/// The e-mail address, if the issuer is believed about addresses and says that it has verified this one. In ASCII, because
/// other letters can pass for those of somebody else's address once the case is folded.
fn trusted_email<'a>(accounts: &Accounts, claims: &'a Map<String, Value>) -> Option<&'a str> {
    let is_verified = claims.get("email_verified") == Some(&Value::Bool(true));
    let email = claims.get("email").and_then(Value::as_str);
    email
        .filter(|email| email.is_ascii() && email.contains('@'))
        .filter(|_| accounts.link_by_email && is_verified)
}

async fn link(app: &App, said: Said<'_>, user_id: &UserId) -> Result<bool, Error> {
    let mut tx = app.store.write().await?;
    if !identities::record(&mut tx, said.identity, user_id, app.now()).await? {
        undo(tx).await?;
        return Ok(false);
    }
    let what = format!("linked to {} by its verified e-mail address", said.issuer_name);
    let event = Event::new(Kind::AccountChanged, Outcome::Done).user(user_id).detail(what);
    audit::record(&mut tx, app.now(), &event);
    commit(tx).await?;
    Ok(true)
}

/// Makes an account that nobody can sign in to by a password. `None` when the identity was linked meanwhile.
async fn make(app: &App, accounts: &Accounts, said: Said<'_>, role: Role) -> Result<Option<User>, Error> {
    let wanted = wanted_name(accounts, said);
    for attempt in 0..NAMES {
        let username = match attempt {
            0 => wanted.clone(),
            1 => format!("{wanted}.{}", said.issuer_name),
            _ => format!("{wanted}.{}", app.random.id().chars().take(6).collect::<String>()),
        };
        let Ok(name) = Username::parse(&username) else { continue };
        let user = account::without_password(app, &name, role);
        let mut tx = app.store.write().await?;
        if account::record(app, &mut tx, &user).await? == Recorded::Taken {
            undo(tx).await?;
            continue;
        }
        if !identities::record(&mut tx, said.identity, &user.user_id, app.now()).await? {
            undo(tx).await?;
            return Ok(None);
        }
        if let RoleSaid::Now(role) = accounts.role(said.claims) {
            users::say_role(&mut tx, &user.user_id, Some(role), said.at(app.now())).await?;
        }
        commit(tx).await?;
        return Ok(Some(user));
    }
    Err(server_error("the server made an error").detail("no name is free for a new account"))
}

/// The name that the claims give, as far as a username may have it. The name of an account may be an address only where
/// that address is proven, and then whole: whoever has the address is later given the account of that name.
fn wanted_name(accounts: &Accounts, said: Said<'_>) -> String {
    let claimed = claim(said.claims, &accounts.username_claim).and_then(Value::as_str);
    let claimed = claimed.or_else(|| said.claims.get("email").and_then(Value::as_str)).unwrap_or_default();
    let is_theirs = trusted_email(accounts, said.claims) == Some(claimed) && claimed.len() <= LONGEST_NAME;
    let claimed = if is_theirs { claimed } else { claimed.split('@').next().unwrap_or_default() };
    let fits = |c: &char| c.is_alphanumeric() || ".-_@".contains(*c);
    let name: String = claimed.chars().filter(fits).take(LONGEST_NAME).collect();
    if name.is_empty() { format!("user.{}", said.issuer_name) } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use serde_json::json;

    fn wanted(link_by_email: bool, claims: &Value) -> String {
        let text = format!(
            "[providers.acme]\nissuer = \"https://id.example\"\nclient_id = \"c\"\n\
             [providers.acme.accounts]\ncreate = true\nlink_by_email = {link_by_email}\n"
        );
        let accounts = Config::written(&text).unwrap().providers["acme"].accounts.clone();
        let identity = Identity { issuer: "https://id.example".into(), subject: "1".into() };
        let claims = claims.as_object().unwrap();
        wanted_name(&accounts, Said { identity: &identity, issuer_name: "acme", claims })
    }

    #[test]
    fn an_account_is_named_after_an_address_only_where_that_is_proven_and_whole() {
        let long = format!("{}@victim.example", "a".repeat(40));
        let cases = [
            (false, json!({ "preferred_username": "alice" }), "alice"),
            (true, json!({ "preferred_username": "ceo@corp.example" }), "ceo"),
            (
                true,
                json!({ "preferred_username": "ceo@corp.example", "email": "m@evil.example", "email_verified": true }),
                "ceo",
            ),
            (true, json!({ "email": "ceo@corp.example", "email_verified": false }), "ceo"),
            (true, json!({ "email": "ceo@corp.example", "email_verified": true }), "ceo@corp.example"),
            (false, json!({ "email": "ceo@corp.example", "email_verified": true }), "ceo"),
            (true, json!({ "email": long, "email_verified": true }), &"a".repeat(40)),
            (true, json!({ "email": "\u{212a}im@corp.example", "email_verified": true }), "\u{212a}im"),
            (true, json!({ "preferred_username": "@" }), "user.acme"),
            (true, json!({}), "user.acme"),
        ];
        for (link_by_email, claims, name) in cases {
            assert_eq!(wanted(link_by_email, &claims), name, "{link_by_email} {claims}");
        }
    }
}
