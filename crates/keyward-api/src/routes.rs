//! The one route table, from which the router and the client come.

pub use keyward_model::Action;

/// The methods that routes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Reads.
    Get,
    /// Makes, or does.
    Post,
    /// Sets.
    Put,
    /// Changes what is sent.
    Patch,
    /// Removes.
    Delete,
}

impl Method {
    /// As on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

macro_rules! routes {
    ($($route:ident = $method:ident $path:literal, $noun:literal $action:ident;)*) => {
        /// One thing that the admin API can do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Route {
            $(#[doc = concat!("`", stringify!($method), " ", $path, "`")] $route,)*
        }

        impl Route {
            /// Every route.
            pub const ALL: &'static [Self] = &[$(Self::$route,)*];

            /// Its method.
            pub const fn method(self) -> Method {
                match self { $(Self::$route => Method::$method,)* }
            }

            /// Its path, in which `{name}` stands for one segment.
            pub const fn path(self) -> &'static str {
                match self { $(Self::$route => $path,)* }
            }

            /// What it is about.
            pub const fn noun(self) -> &'static str {
                match self { $(Self::$route => $noun,)* }
            }

            /// What it does.
            pub const fn action(self) -> Action {
                match self { $(Self::$route => Action::$action,)* }
            }
        }
    };
}

routes! {
    Apply = Post "/v1/apply", "world" Apply;
    Export = Get "/v1/export", "world" Export;
    Explain = Get "/v1/explain", "decision" Explain;
    WhoCan = Get "/v1/who-can", "decision" Explain;

    ListAccounts = Get "/v1/accounts", "account" List;
    CreateAccount = Post "/v1/accounts", "account" Create;
    ShowAccount = Get "/v1/accounts/{id}", "account" Show;
    ChangeAccount = Patch "/v1/accounts/{id}", "account" Change;
    DeleteAccount = Delete "/v1/accounts/{id}", "account" Delete;
    EnableAccount = Post "/v1/accounts/{id}/enable", "account" Enable;
    DisableAccount = Post "/v1/accounts/{id}/disable", "account" Disable;

    ListGateways = Get "/v1/gateways", "gateway" List;
    CreateGateway = Post "/v1/gateways", "gateway" Create;
    ShowGateway = Get "/v1/gateways/{id}", "gateway" Show;
    ChangeGateway = Patch "/v1/gateways/{id}", "gateway" Change;
    DeleteGateway = Delete "/v1/gateways/{id}", "gateway" Delete;

    ListServices = Get "/v1/services", "service" List;
    CreateService = Post "/v1/services", "service" Create;
    ShowService = Get "/v1/services/{id}", "service" Show;
    ChangeService = Patch "/v1/services/{id}", "service" Change;
    DeleteService = Delete "/v1/services/{id}", "service" Delete;
    EnableService = Post "/v1/services/{id}/enable", "service" Enable;
    DisableService = Post "/v1/services/{id}/disable", "service" Disable;

    ListApis = Get "/v1/apis", "api" List;
    CreateApi = Post "/v1/apis", "api" Create;
    ShowApi = Get "/v1/apis/{id}", "api" Show;
    ChangeApi = Patch "/v1/apis/{id}", "api" Change;
    DeleteApi = Delete "/v1/apis/{id}", "api" Delete;
    EnableApi = Post "/v1/apis/{id}/enable", "api" Enable;
    DisableApi = Post "/v1/apis/{id}/disable", "api" Disable;
    PublishStage = Put "/v1/apis/{id}/stages/{stage}", "stage" Create;
    UnpublishStage = Delete "/v1/apis/{id}/stages/{stage}", "stage" Delete;

    ListApplications = Get "/v1/applications", "application" List;
    CreateApplication = Post "/v1/applications", "application" Create;
    ShowApplication = Get "/v1/applications/{id}", "application" Show;
    ChangeApplication = Patch "/v1/applications/{id}", "application" Change;
    DeleteApplication = Delete "/v1/applications/{id}", "application" Delete;
    EnableApplication = Post "/v1/applications/{id}/enable", "application" Enable;
    DisableApplication = Post "/v1/applications/{id}/disable", "application" Disable;
    ListKeyPairs = Get "/v1/applications/{id}/key-pairs", "key_pair" List;
    AddKeyPair = Post "/v1/applications/{id}/key-pairs", "key_pair" Create;
    ListAppCodes = Get "/v1/applications/{id}/app-codes", "app_code" List;
    AddAppCode = Post "/v1/applications/{id}/app-codes", "app_code" Create;

    ListConsumers = Get "/v1/consumers", "consumer" List;
    CreateConsumer = Post "/v1/consumers", "consumer" Create;
    ShowConsumer = Get "/v1/consumers/{id}", "consumer" Show;
    ChangeConsumer = Patch "/v1/consumers/{id}", "consumer" Change;
    DeleteConsumer = Delete "/v1/consumers/{id}", "consumer" Delete;
    EnableConsumer = Post "/v1/consumers/{id}/enable", "consumer" Enable;
    DisableConsumer = Post "/v1/consumers/{id}/disable", "consumer" Disable;
    ListApiKeys = Get "/v1/consumers/{id}/api-keys", "api_key" List;
    AddApiKey = Post "/v1/consumers/{id}/api-keys", "api_key" Create;
    ShowJwt = Get "/v1/consumers/{id}/jwt", "jwt" Show;
    SetJwt = Put "/v1/consumers/{id}/jwt", "jwt" Create;

    FindCredential = Get "/v1/credentials", "credential" List;
    ShowCredential = Get "/v1/credentials/{id}", "credential" Show;
    ChangeCredential = Patch "/v1/credentials/{id}", "credential" Change;
    DeleteCredential = Delete "/v1/credentials/{id}", "credential" Delete;
    EnableCredential = Post "/v1/credentials/{id}/enable", "credential" Enable;
    DisableCredential = Post "/v1/credentials/{id}/disable", "credential" Disable;
    ResetCredential = Post "/v1/credentials/{id}/reset", "credential" Reset;
    RevealCredential = Post "/v1/credentials/{id}/reveal", "credential" Reveal;

    ListGroups = Get "/v1/groups", "group" List;
    CreateGroup = Post "/v1/groups", "group" Create;
    ShowGroup = Get "/v1/groups/{id}", "group" Show;
    ChangeGroup = Patch "/v1/groups/{id}", "group" Change;
    DeleteGroup = Delete "/v1/groups/{id}", "group" Delete;
    EnableGroup = Post "/v1/groups/{id}/enable", "group" Enable;
    DisableGroup = Post "/v1/groups/{id}/disable", "group" Disable;
    AddMember = Post "/v1/groups/{id}/members", "member" Create;
    RemoveMember = Delete "/v1/groups/{id}/members/{kind}/{name}", "member" Delete;

    ListGrants = Get "/v1/grants", "grant" List;
    CreateGrant = Post "/v1/grants", "grant" Create;
    ShowGrant = Get "/v1/grants/{id}", "grant" Show;
    ChangeGrant = Patch "/v1/grants/{id}", "grant" Change;
    RevokeGrant = Post "/v1/grants/{id}/revoke", "grant" Revoke;
    RenounceGrant = Post "/v1/grants/{id}/renounce", "grant" Revoke;
}

impl Route {
    /// The path with these segments in the place of its parameters, percent-encoded.
    pub fn fill<'s>(self, segments: impl IntoIterator<Item = &'s str>) -> String {
        let mut segments = segments.into_iter();
        let fill = |part: &str| match part.starts_with('{') {
            true => encode(segments.next().unwrap_or_default()),
            false => part.to_owned(),
        };
        self.path().split('/').map(fill).collect::<Vec<_>>().join("/")
    }
}

/// Percent-encodes everything that is not unreserved (RFC 3986).
pub(crate) fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_routes_are_the_same() {
        let seen: BTreeSet<_> =
            Route::ALL.iter().map(|route| (route.method().as_str(), route.path())).collect();
        assert_eq!(seen.len(), Route::ALL.len());
    }

    #[test]
    fn reads_are_get_and_get_only_reads() {
        for route in Route::ALL {
            assert_eq!(route.method() == Method::Get, route.action().reads(), "{route:?}");
        }
    }

    #[test]
    fn segments_are_encoded() {
        assert_eq!(Route::ShowApi.fill(["web shop/订"]), "/v1/apis/web%20shop%2F%E8%AE%A2");
        assert_eq!(
            Route::RemoveMember.fill(["staff", "consumers", "a:b"]),
            "/v1/groups/staff/members/consumers/a%3Ab"
        );
    }
}
