// A real OpenID provider (npm oidc-provider) on a free port of loopback. It says its issuer on one line, and ends with its input.
// usage: node oidc_provider.mjs REDIRECT_URI
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";

import { Provider } from "oidc-provider";

// Nobody reads more than that one line.
console.info = () => {};
const [redirectUri] = process.argv.slice(2);
const key = (kind, options, more) => ({ ...generateKeyPairSync(kind, options).privateKey.export({ format: "jwk" }), ...more });
const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const usual = { redirect_uris: [redirectUri], grant_types: ["authorization_code"], response_types: ["code"] };
  const provider = new Provider(issuer, {
    clients: [
      { ...usual, client_id: "keyward", client_secret: "secret of keyward: &+%" },
      { ...usual, client_id: "open", token_endpoint_auth_method: "none", id_token_signed_response_alg: "ES256" },
    ],
    jwks: {
      keys: [
        key("rsa", { modulusLength: 2048 }, { kid: "rsa", use: "sig", alg: "RS256" }),
        key("ec", { namedCurve: "P-256" }, { kid: "ec", use: "sig", alg: "ES256" }),
        key("rsa", { modulusLength: 2048 }, { kid: "for-others", use: "enc", alg: "RSA-OAEP" }),
      ],
    },
    // It takes encrypted requests, too, so its key set has a key that is not for signatures.
    features: { encryption: { enabled: true }, requestObjects: { enabled: true } },
    cookies: { keys: ["a key of this test"] },
    pkce: { required: () => true },
  });
  server.on("request", provider.callback());
  process.stdout.write(`${issuer}\n`);
});
process.stdin.on("end", () => process.exit(0)).resume();
