// The index as a value, for tests that hold it against a replay of the files.

extension Engine {
  /// The index, brought up to what others finished before, and who wrote what.
  package func freshIndex() throws(StoreError) -> Index {
    try withFreshCatalog(strict: true) { catalog in Index(catalog.index) }
  }
}
