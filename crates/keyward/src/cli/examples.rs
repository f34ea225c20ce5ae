//! What stands below the help of a command: examples, which a test parses.

pub(super) const ROOT: &str = "\
Environment:
  KEYWARD_ADMIN        Admin address of the node, as --admin says it
  KEYWARD_DATA         Data folder, as --data says it
  KEYWARD_ADMIN_TOKEN  The operator's token; absent: the data folder's `admin-token`
  KEYWARD_VAULT_ADDRESS The server that holds values of secrets, as --vault-address says it
  KEYWARD_VAULT_TOKEN_FILE The file with the token there, as --vault-token-file says it
  KEYWARD_VAULT_ROLE_ID The AppRole there, as --vault-role-id says it
  KEYWARD_VAULT_SECRET_ID_FILE The file with its secret id, as --vault-secret-id-file says it
  KEYWARD_VAULT_CA_FILE The certificates it is known by, as --vault-ca-file says it
  KEYWARD_VAULT_NAMESPACE The namespace there, as --vault-namespace says it
  KEYWARD_STORE        The store of `serve`, as --store says it: here its password is not seen by other users
  KEYWARD_ADMIN_URL    Where browsers reach the admin server of `serve`, as --admin-url says it
  KEYWARD_OIDC_ISSUER  The provider through which operators sign in, as --oidc-issuer says it
  KEYWARD_OIDC_CLIENT_ID What Keyward is called there, as --oidc-client-id says it
  KEYWARD_OIDC_CLIENT_SECRET_FILE The file with the secret there, as --oidc-client-secret-file says it
  KEYWARD_OIDC_CLIENT_SECRET The secret itself, where no file is named
  KEYWARD_REPLAY_REDIS Where nodes share the replay memory, as --replay-redis says it
  KEYWARD_APP_SECRET   The AppSecret that `sign` signs with where no node is asked
  KEYWARD_LOG          How much `serve` writes to standard error; absent: `info`

Exit codes:
  0  done
  1  refused by the node, or out of reach
  2  what was given on the command line or in a file is wrong; nothing was changed";

pub(super) const SERVE: &str = "\
Examples:
  keyward serve --demo
  keyward serve --data /var/lib/keyward --listen 0.0.0.0:8080 --admin 127.0.0.1:9080 --apply world.yaml
  keyward serve --take-over --data /var/lib/keyward --listen 0.0.0.0:8080 --admin 127.0.0.1:9080";

pub(super) const BACKUP: &str = "\
Examples:
  keyward backup --data /var/lib/keyward /backup/keyward-2027-01-01.db";

pub(super) const RESTORE: &str = "\
Examples:
  keyward restore --data /var/lib/keyward-new --master-key /etc/keyward/master.key /backup/keyward-2027-01-01.db
  keyward restore --store postgres://keyward@db.example.com/restored --data /var/lib/keyward-new --master-key /etc/keyward/master.key";

pub(super) const APPLY: &str = "\
Examples:
  keyward apply -f world.yaml --dry-run
  keyward apply -f world.yaml --prune";

pub(super) const EXPORT: &str = "\
Examples:
  keyward export
  keyward export --account partner --output json";

pub(super) const EXPLAIN: &str = "\
Examples:
  keyward explain --api orders --application shop --operation 'GET /42'
  keyward explain --api orders --consumer analytics --stage TEST --at 2027-01-01T00:00:00Z --output json";

pub(super) const WHO_CAN: &str = "\
Examples:
  keyward who-can --api orders
  keyward who-can --api orders --stage TEST --operation 'POST /' --output json";

pub(super) const REVIEW: &str = "\
Examples:
  keyward access-review
  keyward access-review --finding grant_unused --unused-days 30
  keyward access-review --account partner --output json";

pub(super) const USAGE: &str = "\
Examples:
  keyward usage --from 2026-01-01
  keyward usage --app shop --output json
  keyward usage --api orders --from 2026-01-01 --until 2026-02-01";

pub(super) const SIGN: &str = "\
Examples:
  keyward sign --application shop http://127.0.0.1:8080/orders/1 | sh
  keyward sign --app-key 203753385 --algorithm HmacSHA1 --body '{\"item\": 7}' POST http://127.0.0.1:8080/orders
  keyward sign --app-key 203753385 --scheme tencent --stage-prefix /test http://127.0.0.1:8080/test/orders/1";

pub(super) const NODE: &str = "\
Examples:
  keyward node list
  keyward node forget node_018f0000000070008000000000000abc";

pub(super) const OPERATOR: &str = "\
Examples:
  keyward operator create alice --role owner --password-file -
  keyward operator create bob --role developer@default --role viewer@partner
  keyward operator token create bob --name ci --role developer --only-account default
  keyward operator disable bob";

pub(super) const AUDIT: &str = "\
Examples:
  keyward audit list --noun grant --newest
  keyward audit export --from 2026-01-01T00:00:00Z
  keyward audit verify";

pub(super) const CALLER: &str = "\
Examples:
  keyward caller app_018f0000000070008000000000000abc";

pub(super) const APP: &str = "\
Examples:
  keyward app create shop --tag team=web
  keyward app create till --app-key 203753385 --app-secret-file secret.txt --scheme tencent
  keyward app list --tag team=web --output json
  keyward app reset shop
  keyward app disable shop";

pub(super) const CONSUMER: &str = "\
Examples:
  keyward consumer create analytics --api-key --source bearer --source header:x-api-key
  keyward consumer create robot --jwt --issuer https://issuer.example --audience orders
  keyward consumer api-key add analytics --valid-until 2027-01-01T00:00:00Z
  keyward consumer reset analytics";

pub(super) const API: &str = "\
Examples:
  keyward api create orders --base-path /orders --admit app_signature,api_key --stage RELEASE=orders
  keyward api change orders --set signature.mode=strict --set 'allowed_addresses=[192.0.2.0/24]'
  keyward api publish orders TEST --service orders-test --path-prefix /test
  keyward api disable orders";

pub(super) const SERVICE: &str = "\
Examples:
  keyward service create orders --endpoint http://127.0.0.1:9000
  keyward service change orders --endpoint 'http://10.0.0.1:9000 2' --endpoint http://10.0.0.2:9000
  keyward service change orders --auth-header X-Backend-Key --auth-value-file key.txt";

pub(super) const SECRET: &str = "\
Examples:
  keyward secret create orders_key --value-file key.txt
  keyward secret references orders_key
  keyward secret rotate orders_key --overlap-s 3600
  keyward secret disable orders_key --dry-run";

pub(super) const MODULE: &str = "\
Examples:
  keyward module create hello --wasm target/plugins/wasm32-wasip1/release/hello_keyward.wasm
  keyward module change hello --wasm target/plugins/wasm32-wasip1/release/hello_keyward.wasm --on-failure skip";

pub(super) const PLUGIN: &str = "\
Examples:
  keyward plugin create key-auth --api orders --set 'config.credentials=[\"$ref{partner_key}\"]' --set 'config.keys=[apikey, x-api-key]'
  keyward plugin create rate-limit --api orders --operation 'GET /{id}' --set config.requests=100 --set config.per=1m
  keyward plugin list --api orders
  keyward plugin change plg_018f0000000070008000000000000abc --set config.in_query=false
  keyward plugin kinds key-auth";

pub(super) const GRANT: &str = "\
A grant is never disabled: `revoke` ends it for good, `change --valid-until` ends it at a moment.

Examples:
  keyward grant create --to app:shop --api orders --stage RELEASE --valid-until 2027-01-01T00:00:00Z
  keyward grant create --to consumer:analytics --api orders --operation 'GET /{id}'
  keyward grant list --api orders --revoked
  keyward grant revoke grt_018f0000000070008000000000000abc
  keyward grant renounce grt_018f0000000070008000000000000abc --app till --account partner";

pub(super) const GROUP: &str = "\
Examples:
  keyward group create staff --member consumer:analytics --member app:shop
  keyward group remove-member staff consumer:analytics";

pub(super) const ACCOUNT: &str = "\
Examples:
  keyward account create partner --reveal false
  keyward account disable partner";

pub(super) const GATEWAY: &str = "\
Examples:
  keyward gateway create edge --trusted-proxy 10.0.0.0/8
  keyward gateway change edge --body-bytes 1048576 --set limits.header_timeout_ms=5000";

pub(super) const CREDENTIAL: &str = "\
Examples:
  keyward credential find 203753385
  keyward credential reveal crd_018f0000000070008000000000000abc
  keyward credential change crd_018f0000000070008000000000000abc --valid-until 2027-01-01T00:00:00Z";

pub(super) const OPENAPI: &str = "\
Examples:
  keyward openapi > openapi.json";

pub(super) const COMPLETION: &str = "\
Examples:
  keyward completion bash > ~/.local/share/bash-completion/completions/keyward
  keyward completion zsh > ~/.zfunc/_keyward
  keyward completion fish > ~/.config/fish/completions/keyward.fish";
