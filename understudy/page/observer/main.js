/** The composition root of the operators' page. */

import { ObserverApi } from "./api.js";
import { Observer } from "./observer.js";
import { OperatorPage } from "./page.js";

new OperatorPage((token, onRefused, who) => new Observer(new ObserverApi(token), onRefused, who)).start();
