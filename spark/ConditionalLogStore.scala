package sidereal

import java.io.{ByteArrayOutputStream, IOException}
import java.lang.{Boolean => JBoolean}
import java.nio.charset.StandardCharsets.UTF_8
import java.nio.file.FileAlreadyExistsException
import java.util.{Arrays, Iterator => JIterator}

import io.delta.storage.HadoopFileSystemLogStore
import org.apache.hadoop.conf.Configuration
import org.apache.hadoop.fs.{FileSystem, Path}

/** Delta's log on S3, when several drivers and processes of delta-rs commit to one table at the same time.
  *
  * S3 creates the file of a commit only if there is none (conditional PUT, `If-None-Match: *`): of two commits with one
  * number, one succeeds and the other is told. Delta 4.4's own S3SingleDriverLogStore would overwrite the first one.
  */
class ConditionalLogStore(conf: Configuration) extends HadoopFileSystemLogStore(conf) {
  import ConditionalLogStore._

  override def write(path: Path, actions: JIterator[String], overwrite: JBoolean, conf: Configuration): Unit = {
    val fs = path.getFileSystem(conf)
    if (!overwrite && !fs.hasPathCapability(path, Conditional)) {
      throw new UnsupportedOperationException(s"${path.toUri.getScheme}: cannot create a file only if there is none")
    }
    val content = toBytes(actions)
    if (overwrite) put(fs, path, content, isConditional = false) else create(fs, path, content)
  }

  override def isPartialWriteVisible(path: Path, conf: Configuration): JBoolean = false

  private def create(fs: FileSystem, path: Path, content: Array[Byte]): Unit = {
    var attempt = 1
    var isWritten = false
    while (!isWritten) {
      try {
        put(fs, path, content, isConditional = true)
        isWritten = true
      } catch {
        // The file is there already, or the store did not say what became of the write: look what it has now.
        case error: IOException =>
          find(fs, path) match {
            case Some(other) if Arrays.equals(other, content) => isWritten = true // its answer was lost
            case Some(_) => throw new FileAlreadyExistsException(path.toString)
            case None if attempt == Attempts => throw error
            case None =>
              Thread.sleep(WaitMillis << attempt)
              attempt += 1
          }
      }
    }
  }

  private def put(fs: FileSystem, path: Path, content: Array[Byte], isConditional: Boolean): Unit = {
    val stream =
      if (isConditional) fs.createFile(path).create().overwrite(true).must(Conditional, true).build()
      else fs.create(path, true)
    try stream.write(content)
    catch {
      case error: Throwable =>
        stream.abort() // closing it would publish half a commit
        throw error
    }
    stream.close()
  }

  /** The content of a file; none if it does not exist, or if the store does not answer. */
  private def find(fs: FileSystem, path: Path): Option[Array[Byte]] =
    try {
      val stream = fs.open(path)
      try Some(stream.readAllBytes())
      finally stream.close()
    } catch { case _: IOException => None }

  private def toBytes(actions: JIterator[String]): Array[Byte] = {
    val content = new ByteArrayOutputStream()
    actions.forEachRemaining { action => content.write((action + "\n").getBytes(UTF_8)) }
    content.toByteArray
  }
}

private object ConditionalLogStore {
  val Conditional = "fs.option.create.conditional.overwrite"
  val Attempts = 5
  val WaitMillis = 100L
}
