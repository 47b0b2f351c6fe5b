// The fuzzer's entry. Everything else is in the library `FuzzTargets` of the package above.

import FuzzTargets

/// Called by libFuzzer, again and again.
@c(LLVMFuzzerTestOneInput)
public func fuzz(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  FuzzTarget.ofThisProcess.runOrAbort(UnsafeRawBufferPointer(start: bytes, count: count))
  return 0
}
