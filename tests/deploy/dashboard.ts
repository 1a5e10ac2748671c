// A dashboard with our two kinds of panels, in Grafana's own types. What a query may hold beside DataQuery is Prometheus'.
import type { DataQuery } from '@grafana/schema';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';
import type * as raw from '@grafana/schema/dist/esm/raw/dashboard/x/Dashboard_types.gen';

type Config<Custom> = Omit<raw.FieldConfigSource, 'defaults'> & {
  defaults: Omit<raw.FieldConfig, 'custom'> & { custom?: Custom };
};

interface Panel<Type extends string, Options, Custom>
  extends Omit<raw.Panel, 'type' | 'options' | 'fieldConfig' | 'targets'> {
  type: Type;
  options: Options;
  fieldConfig: Config<Custom>;
  targets: Array<DataQuery & { expr: string; legendFormat: string; instant?: boolean; range?: boolean }>;
}

export type Page = Omit<raw.Dashboard, 'panels'> & {
  panels: Array<
    | raw.RowPanel
    | Panel<'timeseries', timeseries.Options, timeseries.FieldConfig>
    | Panel<'stat', stat.Options, Record<string, never>>
  >;
};
