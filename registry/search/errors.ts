/** What a query is told. */

/** The query cannot be answered as it stands; its message is for whoever asked. */
export class QueryError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "QueryError";
  }
}
