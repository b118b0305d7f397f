/** The composition root of the administration page. */

import { OperatorPage } from "../observer/page.js";
import { Admin, AdminApi } from "./admin.js";

const words = { title: "Administration", send: "Sign in", auditors: true };
new OperatorPage((token, onRefused, who) => new Admin(new AdminApi(token), onRefused, who), words).start();
