// What shows /openapi.json at /docs/api. Its fonts are those of the system: nothing is asked for elsewhere.
import 'rapidoc';
