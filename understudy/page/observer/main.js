/** The composition root of the operators' page. */

import { ObserverApi } from "./api.js";
import { Observer } from "./observer.js";
import { OperatorPage } from "./page.js";

new OperatorPage((token, onRefused) => new Observer(new ObserverApi(token), onRefused)).start();
