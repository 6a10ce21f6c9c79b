// The types of a dashboard's JSON: Grafana's own, https://www.npmjs.com/package/@grafana/schema, with the options of
// each kind of panel, which its `Panel` leaves open.
import type { AnnotationQuery, Dashboard, Panel, RowPanel } from "@grafana/schema";
import type { Options as BarGauge } from "@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen";
import type { Options as Heatmap, FieldConfig as HeatmapField } from "@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen";
import type { Options as PieChart } from "@grafana/schema/dist/esm/raw/composable/piechart/panelcfg/x/PieChartPanelCfg_types.gen";
import type { Options as Stat } from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type { FieldConfig as TableField, Options as Table } from "@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen";
import type { FieldConfig as TimeSeriesField, Options as TimeSeries } from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";

// An enumeration of TypeScript is a name; in JSON it is the text that the name stands for.
type Json<T> = T extends string ? `${T}` : T extends (infer Item)[] ? Json<Item>[] : T extends object ? { [Key in keyof T]: Json<T[Key]> } : T;

interface Kind<Type, Options, Custom> {
  type: Type;
  options?: Json<Partial<Options>>;
  fieldConfig: Omit<Json<NonNullable<Panel["fieldConfig"]>>, "defaults"> & {
    defaults: Omit<Json<NonNullable<Panel["fieldConfig"]>["defaults"]>, "custom"> & { custom?: Json<Partial<Custom>> };
  };
}
type Of<Type, Options, Custom = object> = Omit<Json<Panel>, keyof Kind<Type, Options, Custom>> & Kind<Type, Options, Custom>;

// What the Prometheus data source adds to an annotation.
interface Marked extends AnnotationQuery {
  expr: string;
  step: string;
  textFormat: string;
  titleFormat: string;
}

export type Page = Json<Omit<Dashboard, "annotations" | "panels"> & { annotations: { list: Marked[] } }>;
export interface Panels {
  bargauge: Of<"bargauge", BarGauge>;
  heatmap: Of<"heatmap", Heatmap, HeatmapField>;
  piechart: Of<"piechart", PieChart>;
  row: Json<RowPanel>;
  stat: Of<"stat", Stat>;
  table: Of<"table", Table, TableField>;
  timeseries: Of<"timeseries", TimeSeries, TimeSeriesField>;
}
