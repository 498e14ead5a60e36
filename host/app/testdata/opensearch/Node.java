import java.nio.file.Path;
import org.codelibs.opensearch.runner.OpenSearchRunner;

/** Runs one node of OpenSearch on loopback, in the folder and on the port of its arguments, until its standard input ends. */
public final class Node {
  public static void main(String[] args) throws Exception {
    OpenSearchRunner runner = new OpenSearchRunner();
    runner.onBuild((number, settings) -> {
      settings.put("http.host", "127.0.0.1");
      settings.put("http.port", args[1]);
      settings.put("transport.host", "127.0.0.1");
      settings.put("transport.port", "0");
      settings.put("discovery.type", "single-node");
      settings.put("cluster.routing.allocation.disk.threshold_enabled", false); // a full test machine is no matter here
    }).build(OpenSearchRunner.newConfigs().clusterName("tocsin-test").numOfNode(1)
        .basePath(Path.of(args[0], "node").toString()).disableESLogger());
    runner.ensureYellow();
    System.out.println("ready");
    System.out.flush();
    while (System.in.read() >= 0) {
    }
    runner.close();
    System.exit(0);
  }

  private Node() {}
}
