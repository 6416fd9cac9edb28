"""One module per section of the report; each turns `Inputs` into a `Section`."""
