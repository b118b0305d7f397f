/** The composition root of the administration page. */

import { OperatorPage } from "../observer/page.js";
import { Admin } from "./admin.js";
import { AdminApi } from "./api.js";

const words = { title: "Administration", send: "Sign in", auditors: true };
new OperatorPage((token, onRefused, who) => new Admin(new AdminApi(token), onRefused, who), words).start();
